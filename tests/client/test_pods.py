"""Submitting, finding, deleting: over the real API and a real socket."""

from __future__ import annotations

import json
import ssl
import uuid
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from farnode import AsyncClient, Denied, Invalid, NotFound, Permanent, Site, Unreachable
from farnode.client import intake
from farnode.client.patience import Patience
from farnode.gateway.port import Caller
from farnode.model.api import Verdict
from tests.client.conftest import QUICK
from tests.client.fake import Gateway, pod, running

pytestmark = pytest.mark.anyio


class Interrupted:
    """A dialler whose first connections are lost once a request was sent: nobody hears the answer."""

    def __init__(self, path: str, times: int, error: Exception | None = None) -> None:
        self._path = path
        self._times = times
        self._error = error or anyio.BrokenResourceError()

    async def __call__(self) -> ByteStream:
        stream = await anyio.connect_unix(self._path)
        if self._times:
            self._times -= 1
            receive = stream.receive

            async def heard_then_lost(max_bytes: int = 65536) -> bytes:
                await receive(max_bytes)
                raise self._error

            stream.receive = heard_then_lost  # type: ignore[method-assign]
        return stream


async def test_a_submitted_pod_is_a_value(client: AsyncClient, gateway: Gateway) -> None:
    (submitted,) = await client.submit(pod("one", labels={"app": "x"}))
    assert (str(submitted), submitted.phase, submitted.containers) == ("default/one", "Pending", ("main",))
    assert submitted.exit_code() is None
    gateway.do(lambda site: site.end(submitted.uid, 3))
    now = await client.pod(submitted)
    assert (now.phase, now.ended, now.exit_code(), now.exit_code("main")) == ("Failed", True, 3, 3)
    assert now.manifest["metadata"]["labels"] == {"app": "x"}
    assert submitted.phase == "Pending"


async def test_a_lost_answer_is_asked_for_again_and_doubles_nothing(gateway: Gateway) -> None:
    dial = Interrupted(gateway.address.removeprefix("unix:"), 2)
    async with AsyncClient(gateway.site(), dial=dial, patience=QUICK) as client:
        submitted = await client.submit([pod("one"), pod("two")])
        assert len(await client.pods()) == 2
    assert gateway.state.submits == [[each.uid for each in submitted]] * 3


async def test_what_tls_complains_of_is_a_lost_connection(gateway: Gateway) -> None:
    path = gateway.address.removeprefix("unix:")
    dial = Interrupted(path, 1, ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC]"))
    async with AsyncClient(gateway.site(), dial=dial, patience=QUICK) as client:
        assert (await client.site())["name"] == "lab"


async def test_what_the_gateway_fails_at_is_found_by_halves(gateway: Gateway) -> None:
    inner = gateway.do(lambda site: site._submit)

    def poisoned(caller: Caller, document: dict[str, Any]) -> Verdict:
        if document["metadata"]["name"] == "two":
            raise RuntimeError("a defect")
        return inner(caller, document)

    gateway.do(lambda site: setattr(site, "_submit", poisoned))
    documents = intake.read([pod(name) for name in ("one", "two", "three")])
    async with AsyncClient(gateway.site(), patience=QUICK) as client:
        verdicts = await client.offer(documents)
    assert [one["verdict"] in ("accepted", "exists") for one in verdicts] == [True, False, True]
    assert verdicts[1]["verdict"] == "unknown"


async def test_all_or_nothing(client: AsyncClient, gateway: Gateway) -> None:
    with pytest.raises(Invalid, match=r"is not yours to choose \(of pod default/two") as caught:
        await client.submit([pod("one"), pod("two", labels={"refuse": "yes"}), pod("three")])
    assert caught.value.field == "spec.nodeName"
    assert await client.pods() == []
    assert [deletion["graceSeconds"] for deletion in gateway.state.deletions] == [0, 0]


def bundle(name: str, **fields: Any) -> dict[str, Any]:
    made = pod(name, **fields)
    made["metadata"]["uid"] = str(uuid.uuid4())
    return {"pod": made}


async def test_each_is_offered_for_itself(client: AsyncClient, gateway: Gateway) -> None:
    one, two, three = bundle("one"), bundle("two", labels={"refuse": "yes"}), bundle("three")
    assert [verdict["verdict"] for verdict in await client.offer([one, two])] == ["accepted", "invalid"]
    exists, refused, accepted = await client.offer([one, two, three])
    assert (exists["verdict"], accepted["verdict"]) == ("exists", "accepted")
    assert (refused["field"], refused["message"]) == ("spec.nodeName", "is not yours to choose")
    assert {each.name for each in await client.pods()} == {"one", "three"}
    assert await client.offer([]) == []


async def test_one_that_spoils_a_request_is_found(client: AsyncClient) -> None:
    bundles = [bundle(f"pod-{number}") for number in range(7)]
    bundles[4]["pod"]["spec"]["priority"] = float("nan")
    verdicts = await client.offer(bundles)
    assert [verdict["uid"] for verdict in verdicts] == [one["pod"]["metadata"]["uid"] for one in bundles]
    assert [verdict["verdict"] for verdict in verdicts] == ["accepted"] * 4 + ["invalid"] + ["accepted"] * 2
    assert "not JSON" in verdicts[4]["message"]


async def test_newer_inputs_are_counted(client: AsyncClient, gateway: Gateway) -> None:
    (submitted,) = await client.submit(pod())
    assert await client.update_inputs(submitted, 2, {"secrets": []}) == 2
    assert await client.update_inputs(submitted.uid, 1, {"secrets": [{}]}) == 2
    assert gateway.do(lambda site: site.inputs) == {submitted.uid: {"secrets": [], "version": 2}}
    with pytest.raises(NotFound):
        await client.update_inputs("no-such", 1, {})


async def test_every_form_of_a_pod_is_taken(client: AsyncClient, tmp_path: Path) -> None:
    yaml = tmp_path / "pods.yaml"
    yaml.write_text("\n---\n".join(json.dumps(pod(name)) for name in ("b", "c")))
    bundle = {"pod": pod("e"), "configMaps": [], "secrets": []}
    submitted = await client.submit([json.dumps(pod("a")), yaml, pod("d"), bundle])
    assert [each.name for each in submitted] == ["a", "b", "c", "d", "e"]
    assert len(await client.submit(str(tmp_path / "pods.yaml"))) == 2
    with pytest.raises(Invalid, match=r"missing\.yaml: no such file"):
        await client.submit(tmp_path / "missing.yaml")


async def test_many_pods_go_in_portions(client: AsyncClient, gateway: Gateway) -> None:
    await client.submit([pod(f"pod-{number}") for number in range(1001)])
    assert [len(portion) for portion in gateway.state.submits] == [1000, 1]


async def test_a_pod_is_found_by_name_and_uid(client: AsyncClient, gateway: Gateway) -> None:
    old, other = await client.submit([pod("same"), pod("same", namespace="lab")])
    assert await client.pod("lab/same") == await client.pod(other.uid)
    assert (await client.pod(old.uid[:8])).uid == old.uid
    with pytest.raises(Invalid, match="several pods are meant"):
        await client.pod("same")
    gateway.do(lambda site: site.end(old.uid))
    assert (await client.pod("same")).uid == other.uid
    with pytest.raises(NotFound, match="no pod 'nothing'"):
        await client.pod("nothing")


async def test_deletes_carry_grace_and_purge(client: AsyncClient, gateway: Gateway) -> None:
    (submitted,) = await client.submit(pod())
    verdicts = await client.delete([submitted, "no-such"], grace=5, purge=True)
    assert [verdict["verdict"] for verdict in verdicts] == ["accepted", "unknown"]
    assert gateway.state.deletions[0] == {"uid": submitted.uid, "graceSeconds": 5, "purge": True}


async def test_an_unknown_token_is_denied_and_a_dead_gateway_unreachable(gateway: Gateway, tmp_path: Path) -> None:
    async with AsyncClient(Site("lab", gateway.address), patience=QUICK) as client:
        with pytest.raises(Denied):
            await client.pods()
        with pytest.raises(Denied):
            async with await client.exec("no-such", ["true"], "main"):
                raise AssertionError
    async with AsyncClient(Site("lab", f"unix:{tmp_path}/none"), patience=Patience(total=0)) as client:
        with pytest.raises(Unreachable, match=r"lab: cannot reach unix:.*: no such file"):
            await client.site()


async def test_a_token_that_was_replaced_is_read_again(gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("revoked")
    async with AsyncClient(Site("lab", gateway.address, file), patience=QUICK) as client:
        with pytest.raises(Denied):
            await client.pods()
        file.write_text("alice")
        assert await client.pods() == []
        file.unlink()
        assert await client.pods() == []


async def test_an_unused_client_says_so(gateway: Gateway) -> None:
    with pytest.raises(Invalid, match=r"async with"):
        await AsyncClient(gateway.site()).wait("x")


async def test_https_with_a_pinned_certificate(tmp_path: Path) -> None:
    with running(tmp_path, tls=True) as gateway:
        pinned = Site("lab", gateway.address, gateway.token(), fingerprint=gateway.fingerprint.upper())
        trusted = Site("lab", gateway.address, gateway.token(), ca_file=gateway.ca_file)
        wrong = Site("lab", gateway.address, gateway.token(), fingerprint="0" * 64)
        for site in (pinned, trusted):
            async with AsyncClient(site, patience=QUICK) as client:
                assert (await client.site())["name"] == "lab"
        async with AsyncClient(wrong, patience=QUICK) as client:
            with pytest.raises(Permanent, match="another certificate than the pinned one"):
                await client.site()
