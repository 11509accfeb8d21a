"""The image runs as the chart's Deployment says: on a real API server, with the chart's own service account."""

from __future__ import annotations

import json
import ssl
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from farnode import Client, Site
from farnode.gateway.token_file import TokenFile
from farnode.gateway.tokens import Tokens
from tests.node import chart
from tests.node.chart import NAMESPACE, NOWHERE, RELEASE, Json
from tests.node.chart_image import Container, Image, Volume
from tests.sites.embedded import EmbeddedSite
from tests.sites.site import wait_until
from tests.testbed.kubernetes import ControlPlane
from tests.testbed.kubernetes.component import port, reserve

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

PATIENCE = 60.0


class DistantSite(EmbeddedSite):
    """Its gateway listens as one does that is reached from elsewhere."""

    def __init__(self) -> None:
        super().__init__({"listen": "https://127.0.0.1:0"})

    @property
    def entry(self) -> Json:
        """What the gateway tells its own account's command line."""
        path = self.directory / "sites.d" / f"{self.name}.yaml"
        wait_until(lambda: self._lives() and path.exists(), "the gateway says where it is", PATIENCE)
        found: Json = yaml.safe_load(path.read_text())
        return found

    def client(self, owner: str = "alice", patience: float = PATIENCE) -> Client:
        entry = self.entry
        site = Site(self.name, entry["url"], self.token(owner), entry["fingerprint"])
        return Client(site, patience=patience)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with Image() as image:
        yield image


@pytest.fixture(scope="module")
def site() -> Iterator[DistantSite]:
    with DistantSite() as site:
        yield site


@pytest.fixture
def values(plane: ControlPlane, site: DistantSite) -> Iterator[Json]:
    """Installed, with the site's token as a Secret. The Lease of the replicas is somebody else's."""
    held = reserve()
    kubelet = port(held)
    held.close()
    values = {
        "nodes": [{**chart.node("distant", taints=[]), "site": _access(site)}],
        "kubelet": {"host": "127.0.0.1", "port": kubelet},
        **NOWHERE,
    }
    plane.kubectl("create", "namespace", NAMESPACE)
    token = Tokens(TokenFile(site.state)).issue("testbed", "cluster")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "distant-token"},
        "stringData": {"token": token},
    }
    plane.kubectl("create", "--namespace", NAMESPACE, "-f", "-", stdin=json.dumps(secret))
    plane.kubectl("create", "-f", "-", stdin=json.dumps(_lease()))
    chart.install(plane, values)
    yield values
    chart.helm("uninstall", RELEASE, "--namespace", NAMESPACE, plane=plane)
    plane.kubectl("delete", "namespace", NAMESPACE)
    plane.kubectl("delete", "node", "distant", "--ignore-not-found")


def _access(site: DistantSite) -> Json:
    entry = site.entry
    return {**chart.node("distant")["site"], "url": entry["url"], "fingerprint": entry["fingerprint"]}


def _lease() -> Json:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": "somebody", "leaseDurationSeconds": 3600, "acquireTime": now, "renewTime": now}
    metadata = {"name": RELEASE, "namespace": NAMESPACE}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


@pytest.fixture
def container(plane: ControlPlane, image: Image, values: Json, tmp_path: Path) -> Iterator[Container]:
    """Of the Deployment, as it is in the cluster."""
    found = _get(plane, "deployment", RELEASE)
    container = _container(plane, image, found["spec"]["template"]["spec"], tmp_path)
    container.start()
    yield container
    if container.is_running:
        container.stop()


def _container(plane: ControlPlane, image: Image, spec: Json, scratch: Path) -> Container:
    """With what the cluster gives a pod: its volumes' contents, its service account, the API server's address."""
    host, _, number = plane.url.removeprefix("https://").rpartition(":")
    environ = {"POD_IP": "127.0.0.1", "KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": number}
    token = plane.kubectl("create", "token", RELEASE, "--namespace", NAMESPACE).stdout.strip()
    account = Volume({"token": token.encode(), "ca.crt": plane.authority.read_bytes()})
    volumes = {volume["name"]: _volume(plane, volume) for volume in spec.get("volumes", ())}
    return Container(image, spec, {**volumes, "account": account}, environ, scratch)


def _volume(plane: ControlPlane, volume: Json) -> Volume:
    if "configMap" in volume:
        data = _get(plane, "configmap", volume["configMap"]["name"])["data"]
        return Volume({key: text.encode() for key, text in data.items()})
    files: dict[str, bytes] = {}
    for source in volume.get("projected", {}).get("sources", ()):
        data = _get(plane, "secret", source["secret"]["name"])["data"]
        files |= {item["path"]: b64decode(data[item["key"]]) for item in source["secret"]["items"]}
    return Volume(files)


def _get(plane: ControlPlane, kind: str, name: str) -> Json:
    found: Json = json.loads(plane.kubectl("get", kind, name, "--namespace", NAMESPACE, "-o", "json").stdout)
    return found


def _probe(spec: Json) -> Callable[[], bool]:
    """As a kubelet does: by HTTPS, whose certificate it does not look at."""
    (container,) = spec["containers"]
    http = container["livenessProbe"]["httpGet"]
    number = next(each["containerPort"] for each in container["ports"] if each["name"] == http["port"])
    url = f"https://127.0.0.1:{number}{http['path']}"
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    def answers() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5, context=trusting) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    return answers


def test_the_image_is_an_ordinary_users(image: Image) -> None:
    assert image.config["User"] == "65532:65532"
    assert image.config["Entrypoint"] == ["farnode"]
    assert not list(image.root.glob("source")), "what it was built from is not in it"


def test_a_replica_waits_in_good_health_then_leads_and_helms_test_passes(
    plane: ControlPlane, image: Image, values: Json, container: Container, tmp_path: Path
) -> None:
    spec = _get(plane, "deployment", RELEASE)["spec"]["template"]["spec"]
    healthy = _probe(spec)
    wait_until(lambda: healthy() or not container.is_running, "the kubelet API answers its probes", PATIENCE)
    assert container.is_running, container.said()
    assert plane.kubectl("get", "nodes", "-o", "name").stdout == "", "another one leads"

    released = {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}}
    plane.kubectl("patch", "lease", RELEASE, "--namespace", NAMESPACE, "-p", json.dumps(released))
    hook = next(each for each in chart.render(values) if each["kind"] == "Pod")["spec"]
    (scratch := tmp_path / "test").mkdir()
    test = _container(plane, image, hook, scratch)
    test.start()
    wait_until(lambda: not test.is_running, "helm's test ends", 120)
    assert test.stop() == 0, test.said() + container.said()
    assert test.said() == "Ready: distant\n"

    assert container.stop() == 0, container.said()
    assert "Traceback" not in container.said()
    assert "forbidden" not in container.said()
    assert _get(plane, "lease", RELEASE)["spec"].get("holderIdentity", "") == "", "the next one need not wait"
