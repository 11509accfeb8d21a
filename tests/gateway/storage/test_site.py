"""Storage at a whole site: a real gateway, real runners, directories on a real disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farnode import Client, Invalid, Pod
from farnode.errors import NotFound, Permanent
from tests.gateway.storage.pods import claim, ephemeral, host, pod, using
from tests.sites import wait_until
from tests.sites.embedded import EmbeddedSite

pytestmark = pytest.mark.system
QUOTA = "import sys; print(*sys.argv[2:]); open(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + chr(10))"


class StorageSite(EmbeddedSite):
    """`disk` is what it offers: claims of classes scratch (the default one, with a quota) and archive, and the
    directories shared and readonly for hostPath."""

    def __init__(self, disk: Path) -> None:
        self.disk = disk
        for name in ("shared", "readonly"):
            (disk / name).mkdir()
            (disk / name / "data").write_text(f"{name}\n")
        place = f"{disk}/claims/{{owner}}/{{namespace}}/{{claim}}"
        quota = [sys.executable, "-c", QUOTA, str(disk / "quotas"), "{path}", "{bytes}"]
        classes = {
            "scratch": {"path": place, "default": True, "quota": quota},
            "archive": {"path": place.replace("claims", "archive"), "reclaim": "retain"},
        }
        paths = [{"path": str(disk / "shared")}, {"path": str(disk / "readonly"), "readOnly": True}]
        super().__init__({"storage": {"storageClasses": classes, "hostPaths": paths}}, gpus=0)


@pytest.fixture(scope="module")
def site() -> Iterator[StorageSite]:
    with tempfile.TemporaryDirectory(prefix="storage-") as disk, StorageSite(Path(disk)) as made:
        yield made


@pytest.fixture
def alice(site: StorageSite) -> Iterator[Client]:
    with site.client("alice") as client:
        yield client


def submitted(client: Client, document: dict[str, Any]) -> Pod:
    (found,) = client.submit(document)
    return found


def done(client: Client, document: dict[str, Any]) -> str:
    """What the pod printed, once it has succeeded."""
    ended = client.wait(submitted(client, document))
    assert ended.phase == "Succeeded", (ended.reason, ended.message, ended.notes)
    return b"".join(client.logs(ended)).decode()


def waits(client: Client, found: Pod, words: str) -> None:
    wait_until(lambda: words in str(client.pod(found).status), f"{found} waits: {words}")


def of(client: Client, name: str) -> dict[str, Any] | None:
    return next((dict(one) for one in client.claims() if one["name"] == name), None)


def gone(client: Client, name: str) -> None:
    wait_until(lambda: of(client, name) is None, f"claim {name} is gone")


# ---- claims ------------------------------------------------------------------------------------------------------


def test_pods_share_a_claim_and_others_do_not_see_it(site: StorageSite, alice: Client) -> None:
    done(alice, pod(using("shared"), claim("shared"), script="echo alice >/v/who"))
    assert done(alice, pod(using("shared"), claim("shared"), script="cat /v/who")) == "alice\n"
    with site.client("bob") as bob:
        assert done(bob, pod(using("shared"), claim("shared"), script="ls /v; echo bob >/v/who")) == ""
        assert [one["owner"] for one in bob.claims()] == ["bob"]
        with pytest.raises(NotFound):
            bob.delete_claim("shared", owner="alice")
    found = of(alice, "shared")
    assert found is not None
    assert Path(found["path"]) == site.disk / "claims/alice/default/shared"
    assert (Path(found["path"]) / "who").read_text() == "alice\n"
    assert found["storageClass"] == "scratch"
    assert (found["ready"], found["deleting"], found["usedBy"], found["size"]) == (True, False, [], 1 << 30)


def test_a_quota_is_set_once_and_again_when_the_claim_grows(site: StorageSite, alice: Client) -> None:
    small, large = claim("grows"), claim("grows", resources={"requests": {"storage": "3Gi"}})
    for wanted in (small, small, large, small):
        done(alice, pod(using("grows"), wanted))
    where = f"{site.disk}/claims/alice/default/grows"
    asked = [line for line in (site.disk / "quotas").read_text().splitlines() if line.startswith(f"{where} ")]
    assert asked == [f"{where} {1 << 30}", f"{where} {3 << 30}"]
    assert of(alice, "grows")["size"] == 3 << 30  # type: ignore[index]


def test_a_claim_stays_in_its_class(alice: Client) -> None:
    done(alice, pod(using("classed"), claim("classed", storageClassName="archive")))
    with pytest.raises(Invalid, match="the claim 'classed' exists and is of class 'archive'"):
        alice.submit(pod(using("classed"), claim("classed", storageClassName="scratch")))
    with pytest.raises(Invalid, match=r"storageClassName: 'gold' is no storage class .*accepted: archive, scratch"):
        alice.submit(pod(using("other"), claim("other", storageClassName="gold")))


def test_a_claim_that_is_deleted(site: StorageSite, alice: Client) -> None:
    """What becomes of its directory is its class's to say; while a pod uses it, it stays."""
    for name, kind in (("thrown", "scratch"), ("kept", "archive")):
        script = "mkdir -p /v/a/b; chmod 500 /v/a; echo precious >/v/data"
        done(alice, pod(using(name), claim(name, storageClassName=kind), script=script))
    user = submitted(alice, pod(using("thrown"), claim("thrown"), script="sleep 1000", name="user"))
    with pytest.raises(Permanent, match="the claim default/thrown is in use by user: delete the pods first"):
        alice.delete_claim("thrown")
    assert of(alice, "thrown")["usedBy"] == [user.uid]  # type: ignore[index]
    alice.delete(user, grace=0)
    alice.wait(user)
    for name in ("thrown", "kept"):
        assert alice.delete_claim(name)["deleting"]
        gone(alice, name)
    assert not list((site.disk / "claims/alice/default").glob("*thrown*"))
    assert (site.disk / "archive/alice/default/kept/data").read_text() == "precious\n"
    with pytest.raises(NotFound):
        alice.delete_claim("thrown")


def test_an_ephemeral_claim_lives_as_long_as_its_pod(site: StorageSite, alice: Client) -> None:
    where = site.disk / "claims/alice/default/short-v"
    first = submitted(alice, pod(ephemeral(), script="echo x >/v/data; sleep 1000", name="short"))
    wait_until(lambda: (where / "data").exists(), "the pod writes into its claim")
    assert of(alice, "short-v")["pod"] == first.uid  # type: ignore[index]
    second = submitted(alice, pod(ephemeral(), script="ls /v", name="short"))
    waits(alice, second, "there is a claim of this name, which goes with another pod")
    alice.delete(first, grace=0)
    ended = alice.wait(second)
    assert (ended.phase, b"".join(alice.logs(ended))) == ("Succeeded", b"")
    wait_until(lambda: of(alice, "short-v") is None and not where.exists(), "the claim goes with its pod")


def test_a_claim_of_one_pod_at_a_time(alice: Client) -> None:
    alone = claim("alone", accessModes=["ReadWriteOncePod"])
    first = submitted(alice, pod(using("alone"), alone, script="sleep 1000", name="first"))
    wait_until(lambda: alice.pod(first).phase == "Running", "the first pod runs")
    second = submitted(alice, pod(using("alone"), alone, name="second"))
    waits(alice, second, "the claim 'alone' is ReadWriteOncePod and is used by pod first")
    alice.delete(first, grace=0)
    assert alice.wait(second).phase == "Succeeded"


def test_a_directory_that_cannot_be_made_is_said_and_tried_again(site: StorageSite, alice: Client) -> None:
    where = site.disk / "archive/alice/default/blocked"
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_text("in the way")
    found = submitted(alice, pod(using("blocked"), claim("blocked", storageClassName="archive"), script="echo x >/v/y"))
    waits(alice, found, f"the claim 'blocked' is not ready: {where} is there and is no directory")
    assert alice.pod(found).notes[-1]["reason"] == "FailedMount"
    where.unlink()
    assert alice.wait(found).phase == "Succeeded"
    assert (where / "y").exists()


def test_a_directory_that_the_site_cleared_is_made_again(site: StorageSite, alice: Client) -> None:
    wanted = pod(using("cleared"), claim("cleared", storageClassName="archive"), script="ls /v")
    assert done(alice, wanted) == ""
    (site.disk / "archive/alice/default/cleared").rmdir()
    again = pod(using("cleared"), claim("cleared", storageClassName="archive"), script="ls /v")
    assert done(alice, again) == ""


def test_claims_survive_what_happens_to_the_gateway(site: StorageSite, alice: Client) -> None:
    holder = submitted(alice, pod(using("lasting"), claim("lasting"), script="echo x >/v/data; sleep 1000"))
    wait_until(lambda: (site.disk / "claims/alice/default/lasting/data").exists(), "the pod writes")
    site.kill()
    site.start()
    assert of(alice, "lasting")["usedBy"] == [holder.uid]  # type: ignore[index]
    alice.delete(holder, grace=0, purge=True)
    wait_until(lambda: not of(alice, "lasting")["usedBy"], "the pod has ended")  # type: ignore[index]
    assert (site.disk / "claims/alice/default/lasting/data").read_text() == "x\n"


# ---- host paths --------------------------------------------------------------------------------------------------


def test_host_paths_that_the_site_allows(site: StorageSite, alice: Client) -> None:
    assert done(alice, pod(host(f"{site.disk}/shared"), script="cat /v/data; echo more >/v/written")) == "shared\n"
    assert (site.disk / "shared/written").read_text() == "more\n"
    ended = alice.wait(submitted(alice, pod(host(f"{site.disk}/readonly"), script="cat /v/data; echo x >/v/data")))
    assert (ended.phase, b"".join(alice.logs(ended)).splitlines()[0]) == ("Failed", b"readonly")
    assert (site.disk / "readonly/data").read_text() == "readonly\n"


def test_host_paths_that_it_does_not(site: StorageSite, alice: Client) -> None:
    with pytest.raises(Invalid, match=r"spec\.volumes\[0\]\.hostPath\.path: '/etc' may not be mounted at this site"):
        alice.submit(pod(host("/etc")))
    (site.disk / "shared/out").symlink_to("/etc")
    ended = alice.wait(submitted(alice, pod(host(f"{site.disk}/shared/out"), script="cat /v/shadow")))
    assert ended.phase == "Failed"
    assert f"leads to /etc, out of {site.disk}/shared" in str(ended.message)


# ---- inputs ------------------------------------------------------------------------------------------------------


def test_a_running_pod_gets_its_new_inputs(site: StorageSite, alice: Client) -> None:
    """Also one that was set while the runner was away: it is told when it comes back."""
    script = 'until grep -q "$1" /v/key; do sleep 0.05; done; cat /v/key; until [ -e /v/end ]; do sleep 0.05; done'
    document = pod({"name": "v", "configMap": {"name": "c"}}, script=f"set -- second; {script}; ls /v")

    def configured(**data: str) -> dict[str, Any]:
        return {"configMaps": [{"metadata": {"name": "c"}, "data": data}]}

    found = submitted(alice, {**document, **configured(key="first")})
    wait_until(lambda: alice.pod(found).phase == "Running", "the pod runs")
    update = {"version": 1, **configured(key="second\n")}
    assert site.call("PUT", f"/v1/pods/{found.uid}/inputs", update) == {"version": 1}
    wait_until(lambda: b"second" in b"".join(alice.logs(found)), "the pod sees its new input")
    site.kill()
    site.start()
    site.call("PUT", f"/v1/pods/{found.uid}/inputs", {"version": 2, **configured(end="")})
    assert alice.wait(found).phase == "Succeeded"
    assert b"".join(alice.logs(found)) == b"second\nend\n"


def test_an_immutable_input_stays(site: StorageSite, alice: Client) -> None:
    config = {"metadata": {"name": "c"}, "immutable": True, "data": {"key": "x"}}
    document = pod({"name": "v", "configMap": {"name": "c"}}, script="sleep 1000")
    found = submitted(alice, {**document, "configMaps": [config]})
    changed = {"version": 1, "configMaps": [{**config, "data": {"key": "y"}}]}
    answer = site.call("PUT", f"/v1/pods/{found.uid}/inputs", changed)["error"]
    assert (answer["code"], answer["field"]) == ("invalid", "configMaps[c]")
    alice.delete(found, grace=0)


# ---- the command line --------------------------------------------------------------------------------------------


def test_farnode_claims(site: StorageSite, alice: Client) -> None:
    done(alice, pod(using("listed"), claim("listed", storageClassName="archive")))

    def farnode(*words: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "FARNODE_CONFIG": str(site.directory / "cli.yaml")}
        entry = {"name": "local", "url": site.url, "tokenFile": str(site.token("alice"))}
        (site.directory / "cli.yaml").write_text(json.dumps({"default": "local", "sites": [entry]}))
        return subprocess.run(site.command(*words), env=environ, capture_output=True, text=True, check=False)

    heading, *rows = farnode("claims").stdout.splitlines()
    assert heading.split() == ["NAMESPACE", "NAME", "STATUS", "CLASS", "SIZE", "USED", "BY", "AGE", "PATH"]
    (row,) = [row.split() for row in rows if " listed " in row]
    path = f"{site.disk}/archive/alice/default/listed"
    assert row[:7] == ["default", "listed", "Bound", "archive", "1Gi", "0", "pods"]
    assert row[-1] == path
    assert "listed" in {one["name"] for one in json.loads(farnode("claims", "-o", "json").stdout)}
    deleted = farnode("claims", "delete", "listed")
    assert (deleted.returncode, deleted.stdout) == (0, f"claim default/listed deleted; {path} is kept\n")
    gone(alice, "listed")
    again = farnode("claims", "delete", "-n", "default", "listed")
    assert (again.returncode, again.stderr) == (1, "error: there is no claim default/listed\n")
