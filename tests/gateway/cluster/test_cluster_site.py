"""A cluster at a site: its namespaces are owners of their own there, and all of them its nodes' business alone."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from farnode import Client, Invalid, NotFound
from farnode.errors import FarnodeError, Permanent
from tests.gateway.cluster.site import NODE, ClusterSite, bundle, uid
from tests.gateway.storage.pods import claim, using
from tests.sites import wait_until

pytestmark = pytest.mark.system
HOLD = "echo $NODE; sleep 600"
WHERE = {"container": {"env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]}}


@pytest.fixture(scope="module")
def site() -> Iterator[ClusterSite]:
    with ClusterSite() as made:
        yield made


@pytest.fixture
def physics(site: ClusterSite) -> Iterator[Client]:
    """A node's client; nothing of it is left behind."""
    with site.client("physics") as client:
        yield client
        client.delete(client.pods(), grace=0)
        for _ in client.as_ended(client.pods()):
            pass
        client.delete(client.pods(), purge=True)
        wait_until(lambda: not client.pods(), "nothing is left")


def offered(client: Client, *documents: dict[str, Any]) -> list[str]:
    assert {verdict["verdict"] for verdict in client.offer(documents)} == {"accepted"}
    return [uid(document) for document in documents]


def views(site: ClusterSite, caller: str) -> dict[str, Any]:
    """As the API gives them in a list."""
    listed = site.call("GET", "/v1/pods", token=site.token(caller).read_text().strip())
    return {view["uid"]: view for view in listed["pods"]}


def runs(client: Client, pod: str) -> None:
    wait_until(lambda: client.pod(pod).phase == "Running", f"{pod} runs")


def test_each_namespace_is_an_owner(site: ClusterSite, physics: Client) -> None:
    first, *others = offered(physics, *(bundle(namespace, HOLD, **WHERE) for namespace in ("default", "lab", "lab")))
    runs(physics, first)
    wait_until(lambda: len(physics.site()["allocations"]) == 2, "another is asked for")
    assert {one["owner"] for one in physics.site()["allocations"]} == {"physics/default", "physics/lab"}
    seen = views(site, "physics")
    assert [seen[pod]["owner"] for pod in (first, *others)] == ["physics/default", "physics/lab", "physics/lab"]
    assert {view["node"] for view in seen.values()} == {NODE}
    wait_until(lambda: b"".join(physics.logs(first)) == f"{NODE}\n".encode(), "it has said where it is")
    physics.delete(first, grace=0)
    for pod in others:
        runs(physics, pod)
    assert set(physics.site()["nodeHours"]["today"]) >= {"physics/default", "physics/lab"}


def test_a_quota_is_a_namespaces(physics: Client) -> None:
    offered(physics, *(bundle("full", HOLD) for _ in range(2)))
    fits, refused, elsewhere = physics.offer([bundle("full", HOLD), bundle("full", HOLD), bundle("empty", HOLD)])
    assert [one["verdict"] for one in (fits, refused, elsewhere)] == ["accepted", "full", "accepted"]
    assert refused["message"] == "physics/full has 3 pods that have not ended, which is the site's limit"


SERVE = f"exec {sys.executable} -u -m http.server --bind 127.0.0.1 {{port}}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_what_a_cluster_has_is_not_there_for_others(site: ClusterSite, physics: Client) -> None:
    port = free_port()
    document = bundle("secret", SERVE.format(port=port), volumes=[using()]) | {"persistentVolumeClaims": [claim()]}
    document["persistentVolumeClaims"][0]["metadata"]["namespace"] = "secret"
    (pod,) = offered(physics, document)
    runs(physics, pod)
    wait_until(lambda: serves(physics, pod, port), "its server listens")
    with physics.exec(pod, ["echo", "hello"]) as session:
        assert [data for _, data in session] == [b"hello\n"]
    with physics.attach(pod) as session:
        assert session.exit_code is None
    assert [one["uid"] for one in physics.stats()["pods"]] == [pod]
    assert [(one["owner"], one["usedBy"]) for one in physics.claims()] == [("physics/secret", [pod])]
    assert physics.site()["pods"] == {"Running": 1}
    with pytest.raises(Permanent, match="in use by p"):
        physics.delete_claim("data", "secret")
    for stranger in ("chemistry", "alice"):
        with site.client(stranger) as client:
            sees_nothing(client, document, port)
    assert physics.pod(pod).phase == "Running"
    assert not physics.pod(pod).deleting


def serves(client: Client, pod: str, port: int) -> bool:
    try:
        with client.port_forward(pod, {0: port}) as ports, socket.create_connection(("127.0.0.1", ports[port])) as one:
            one.settimeout(10)
            one.sendall(b"GET /none HTTP/1.0\r\n\r\n")
            return b"404" in one.recv(100)
    except OSError:
        return False


def sees_nothing(client: Client, document: dict[str, Any], port: int) -> None:
    pod = uid(document)
    refused: list[Callable[[], object]] = [
        lambda: client.pod(pod),
        lambda: list(client.logs(pod, "main")),
        lambda: client.exec(pod, ["true"], "main").__enter__().wait(),
        lambda: client.attach(pod, "main").__enter__().wait(),
        lambda: client.update_inputs(pod, 1, {}),
        lambda: client.delete_claim("data", "secret"),
        lambda: client.delete_claim("data", "secret", owner="physics/secret"),
    ]
    for attempt in refused:
        with pytest.raises(FarnodeError) as refusal:
            attempt()
        assert isinstance(refusal.value, NotFound), refusal.value
    assert not serves(client, pod, port)
    assert pod not in {one.uid for one in client.pods()}
    assert client.delete(pod, grace=0) == [{"uid": pod, "verdict": "unknown"}]
    assert client.claims() == []
    assert client.stats() == {"pods": [], "missing": []}
    assert client.site()["pods"] == {}
    assert client.site()["allocations"] == []
    assert "physics/secret" not in client.site()["nodeHours"]["today"]
    taken = client.offer([document])[0]
    assert (taken["verdict"], taken["field"]) == ("invalid", "metadata.uid")


def test_events_are_those_of_its_namespaces(site: ClusterSite, physics: Client) -> None:
    """Whoever watches hears of the end of its own, and of nothing before."""
    with site.client("chemistry") as chemistry:
        seq = site.call("GET", "/v1/pods")["seq"]
        mine = offered(physics, bundle("a", "true"), bundle("b", "true"))
        for _ in physics.as_ended(mine):
            pass
        physics.delete(mine, purge=True)
        wait_until(lambda: not physics.pods(), "they are gone")
        other = offered(chemistry, bundle("a", "true"))
        assert chemistry.wait(other[0]).succeeded
        assert heard(chemistry, seq, other[0]) == set(other)
        last = offered(physics, bundle("c", "true"))
        assert physics.wait(last[0]).succeeded
        assert heard(physics, seq, last[0]) == {*mine, *last}
        chemistry.delete(other, purge=True)


def heard(client: Client, seq: int, until: str) -> set[str]:
    found, events = set(), client.watch(seq)
    for event in events:
        found.add(event["uid"])
        if event["uid"] == until and event["pod"]["ended"]:
            break
    events.close()
    return found


def test_what_is_known_is_known_again(site: ClusterSite, physics: Client) -> None:
    """A node that lost its memory offers everything anew, also to a site that would not take it today."""
    document = bundle("default", HOLD)
    offered(physics, document)
    offered(physics, *(bundle("default", HOLD) for _ in range(2)))
    assert [one["verdict"] for one in physics.offer([document])] == ["exists"]
    moved = {"pod": {**document["pod"], "metadata": {**document["pod"]["metadata"], "namespace": "other"}}}
    assert physics.offer([moved])[0]["field"] == "metadata.uid"


def token(content: str) -> dict[str, Any]:
    return {"audience": "", "token": content, "expirationSeconds": 3600, "expirationTimestamp": "2030-01-01T00:00:00Z"}


def test_a_newer_token_reaches_the_running_container(site: ClusterSite, physics: Client) -> None:
    if "mounts" not in site.capabilities:
        pytest.skip("this node forbids mounts")
    sources = [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}]
    mounts = {"volumeMounts": [{"name": "tokens", "mountPath": "/tokens"}]}
    script = 'tell() { echo "$(cat /tokens/token)"; }; tell; while [ "$(tell)" != new ]; do sleep 0.05; done; tell'
    made = bundle("default", script, container=mounts, volumes=[{"name": "tokens", "projected": {"sources": sources}}])
    (pod,) = offered(physics, made | {"serviceAccountTokens": [token("old")]})
    runs(physics, pod)
    wait_until(lambda: b"".join(physics.logs(pod)) == b"old\n", "it has read the first one")
    assert physics.update_inputs(pod, 7, {"serviceAccountTokens": [token("new")]}) == 7
    assert physics.update_inputs(pod, 6, {"serviceAccountTokens": [token("older")]}) == 7
    assert physics.wait(pod).succeeded
    assert b"".join(physics.logs(pod)) == b"old\nnew\n"
    assert views(site, "physics")[pod]["inputs"] == 7


def test_inputs_that_no_runner_takes_are_refused(site: ClusterSite, physics: Client) -> None:
    sources = [{"serviceAccountToken": {"path": f"token-{number}"}} for number in range(50)]
    made = bundle("default", HOLD, volumes=[{"name": "tokens", "projected": {"sources": sources}}])
    (pod,) = offered(physics, made | {"serviceAccountTokens": [token("small")]})
    with pytest.raises(Invalid, match=r"spec.volumes: their files are \d+ bytes in base64; a runner takes \d+"):
        physics.update_inputs(pod, 1, {"serviceAccountTokens": [token("x" * 500_000)]})
    assert "inputs" not in views(site, "physics")[pod]
    assert physics.update_inputs(pod, 1, {"serviceAccountTokens": [token("x" * 100_000)]}) == 1
