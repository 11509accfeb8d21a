"""Images as sites with secrets have them: a registry with a password and an authority of its own, directories, and
files that an administrator has put there.

https://kubernetes.io/docs/concepts/containers/images/#using-a-private-registry
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from farnode import Pod
from tests.scenarios.observe import story
from tests.scenarios.stage import Json
from tests.sites import wait_until
from tests.sites.box import ACCOUNT, BoxSite
from tests.testbed import Registry, SiteSpec, SlurmSite, free_index
from tests.testbed.registry import PASSWORD, PORT, USER

pytestmark = pytest.mark.system
HOME = f"/home/{ACCOUNT}"


@dataclass(frozen=True)
class Site:
    gateway: BoxSite
    private: Registry

    def image(self, name: str) -> str:
        return f"{self.private.name}/farnode/{name}"

    def secret(self, name: str = "registry") -> Json:
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        data = {".dockerconfigjson": json.dumps({"auths": {self.private.name: {"auth": auth}}})}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
        return {**secret, "type": "kubernetes.io/dockerconfigjson"}

    def submit(self, owner: str, *documents: Mapping[str, Any]) -> Pod:
        with self.gateway.client(owner) as client:
            (pod,) = client.submit("\n---\n".join(map(json.dumps, documents)) + "\n")
        return pod

    def run(self, owner: str, *documents: Mapping[str, Any]) -> tuple[Pod, str]:
        """The pod that has ended, and what it wrote."""
        pod = self.submit(owner, *documents)
        with self.gateway.client(owner) as client:
            wait_until(lambda: client.pod(pod).ended, f"{pod} ends", 90)
            ended = client.pod(pod)
            return ended, b"".join(client.logs(ended)).decode() if ended.attempt else ""

    def refused(self, owner: str, *documents: Mapping[str, Any]) -> Pod:
        """The pod when it waits because of its image."""
        pod = self.submit(owner, *documents)
        with self.gateway.client(owner) as client:
            wait_until(lambda: _waiting(client.pod(pod)) not in ("", "ContainerCreating"), f"{pod} is refused", 60)
            refused = client.pod(pod)
            client.delete(pod)
        return refused


def _waiting(pod: Pod) -> str:
    state = pod.container_statuses.get("main", {}).get("state", {})
    return str(state.get("waiting", {}).get("reason", ""))


def pod(name: str, image: str, *, secrets: Sequence[str] = (), **container: Any) -> Json:
    spec = {
        "restartPolicy": "Never",
        "imagePullSecrets": [{"name": secret} for secret in secrets],
        "containers": [{"name": "main", "image": image, **container}],
    }
    metadata = {"name": name, "annotations": {"farnode.io/runtime": "apptainer"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with SlurmSite(SiteSpec(index=free_index(), registry=True)) as box:
        at = box.registry.address
        with Registry(box.directory, address=at, port=PORT + 1, tls=True, login=True) as private:
            box.run(ACCOUNT, ["tee", f"{HOME}/ca.pem"], input=private.ca_file.read_text())
            box.run(ACCOUNT, ["mkdir", f"{HOME}/images"])
            public = f"docker://{box.registry.name}/farnode/busybox:entry"
            build = ["apptainer", "build", "--no-https", f"{HOME}/images/entry.sif", public]
            box.run(ACCOUNT, build, timeout=120)
            registries = {private.name: {"caFile": f"{HOME}/ca.pem"}}
            images = {"format": "directory", "registries": registries, "directories": [f"{HOME}/images"]}
            with BoxSite(box, {"images": images}) as gateway:
                yield Site(gateway, private)


def test_a_pod_with_the_secret_runs_it_and_one_without_does_not(site: Site) -> None:
    image = site.image("python:1")
    script = ["python3", "-c", "import os; print(os.getcwd(), os.environ['FOO'], os.path.exists('/etc/passwd'))"]
    document = pod("with-secret", image, secrets=["registry"], command=script)
    ended, output = site.run("alice", document, site.secret())
    assert (ended.phase, output) == ("Succeeded", "/work image True\n"), story(ended)
    assert [note["reason"] for note in ended.notes][:2] == ["Pulling", "Pulled"], story(ended)
    (directory,) = (site.gateway.spool / "images").glob("*.json")
    assert directory.with_suffix("").is_dir()

    for name, secrets in (("without-secret", ()), ("secret-that-is-absent", ("registry",))):
        refused = site.refused("bob", pod(name, image, secrets=secrets, command=["true"]))
        assert _waiting(refused) in ("ErrImagePull", "ImagePullBackOff"), story(refused)
        assert "access denied to nobody without a login" in refused.message, story(refused)
    never = site.refused("bob", pod("never", image, command=["true"], imagePullPolicy="Never"))
    assert _waiting(never) == "ErrImageNeverPull", story(never)

    ended, output = site.run(
        "bob", pod("bob-too", image, secrets=["mine"], command=["echo", "yes"]), site.secret("mine")
    )
    assert (ended.phase, output) == ("Succeeded", "yes\n"), story(ended)
    assert "already present on machine" in str(ended.notes), story(ended)


def test_nothing_shows_the_password(site: Site) -> None:
    site.run("alice", pod("again", site.image("busybox:1"), secrets=["registry"], command=["true"]), site.secret())
    assert PASSWORD not in site.gateway.log.read_text()
    spool = [path for path in site.gateway.spool.rglob("*") if path.is_file() and not path.is_symlink()]
    written = [path for path in spool if path.stat().st_size < 10**6 and PASSWORD.encode() in path.read_bytes()]
    assert written == []
    assert not any(PASSWORD in line for line in site.gateway.command_lines())


def test_a_file_by_its_path_says_how_it_is_run(site: Site) -> None:
    ended, output = site.run("alice", pod("by-path", f"{HOME}/images/entry.sif", args=["given"]))
    assert (ended.phase, output) == ("Succeeded", "entry given\n"), story(ended)
    ended, output = site.run("alice", pod("by-path-alone", f"{HOME}/images/entry.sif"))
    assert (ended.phase, output) == ("Succeeded", "entry cmd\n"), story(ended)


def test_a_path_elsewhere(site: Site) -> None:
    refused = site.refused("alice", pod("elsewhere", "/etc/passwd", command=["true"]))
    assert _waiting(refused) == "InvalidImageName", story(refused)
    assert str(Path(HOME) / "images") in refused.message
