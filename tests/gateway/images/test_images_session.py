"""What happens between a gateway and a registry: patience, damage, redirects, mirrors, certificates."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from farnode.errors import Invalid
from farnode.gateway.config import RegistryAccess
from farnode.gateway.images import ImageError, layout, session
from farnode.gateway.images.credentials import Login
from farnode.gateway.images.endpoints import Endpoints
from farnode.gateway.images.reference import parse
from tests.gateway.images.registry import CONFIG, PASSWORD, USER, FakeRegistry
from tests.gateway.images.user import User

pytestmark = pytest.mark.anyio
Make = Callable[..., User]


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_PAUSE", 0)
    monkeypatch.setattr(layout, "_PAUSE", 0)


@pytest.mark.parametrize(("status", "after"), [(429, "0"), (429, ""), (503, "0"), (502, "Sun, 22 Nov 2026 20:00:00")])
async def test_a_busy_registry_is_asked_again(make: Make, registry: FakeRegistry, status: int, after: str) -> None:
    registry.busy = [(status, after)] * 3
    assert (await make().prepare(f"{registry.address}/lab/tool:1", "Always")).digest == registry.digest
    assert registry.asked[:4] == ["HEAD 1"] * 4


async def test_a_limit_of_requests(make: Make, registry: FakeRegistry) -> None:
    registry.busy = [(429, "3600")]
    with pytest.raises(ImageError, match="too many requests, says the registry") as raised:
        await make().prepare(f"{registry.address}/lab/tool:1", "Always")
    assert (raised.value.after, registry.asked) == (3600.0, ["HEAD 1"])
    registry.busy = [(500, "")] * 9
    with pytest.raises(ImageError, match="the registry answered 500"):
        await make().prepare(f"{registry.address}/lab/tool:1", "Always")
    assert len(registry.busy) == 5


async def test_a_layer_that_breaks_off_goes_on(make: Make, registry: FakeRegistry, tmp_path: Path) -> None:
    registry.cuts = 2
    image = await make().prepare(f"{registry.address}/lab/tool:1", "Always", "directory")
    assert (tmp_path / "images" / registry.digest[7:] / "bin/tool").read_text() == "tool"
    (layer,) = registry.layers
    ranges = [
        headers.get("range") for asked, headers in zip(registry.asked, registry.headers, strict=True) if layer in asked
    ]
    assert ranges == [None, "bytes=20-", "bytes=40-"]
    assert image.digest == registry.digest


async def test_a_registry_that_dies(make: Make, registry: FakeRegistry, tmp_path: Path) -> None:
    registry.cuts = 99
    registry.publish("1", CONFIG, {"noise": os.urandom(1000)})
    with pytest.raises(ImageError, match="breaks off again and again"):
        await make().prepare(f"{registry.address}/lab/tool:1", "Always", "directory")
    assert not [path for path in (tmp_path / "images").glob(".*") if path.suffix != ".lock"]


async def test_damaged_on_the_way(make: Make, registry: FakeRegistry) -> None:
    (layer,) = registry.layers
    good = registry.objects[layer]
    registry.objects[layer] = bytes(len(good))
    with pytest.raises(ImageError, match=f"the layer {layer} came damaged"):
        await make().prepare(f"{registry.address}/lab/tool:1", "Always")
    registry.objects[layer] = good + b"more"
    with pytest.raises(ImageError, match="is longer than the"):
        await make().prepare(f"{registry.address}/lab/tool:1", "Always")


async def test_a_login_is_not_sent_where_layers_are(make: Make, registry: FakeRegistry, other: FakeRegistry) -> None:
    registry.scheme, registry.elsewhere = "Basic", f"http://{other.address}"
    user = make()
    user.logins = (Login(registry.address, USER, PASSWORD),)
    assert await user.prepare(f"{registry.address}/lab/tool:1", "Always")
    assert other.asked == [f"GET {layer}" for layer in other.layers]
    assert "authorization" not in other.headers[0]
    assert "authorization" in registry.headers[-1]


async def test_a_mirror_is_asked_first(make: Make, registry: FakeRegistry, other: FakeRegistry) -> None:
    """The pod's logins for the registry are not shown to it."""
    settings = {registry.address: {"insecure": True, "mirror": other.address}, other.address: {"insecure": True}}
    user = make(registries=settings)
    user.logins = (Login(registry.address, USER, PASSWORD),)
    name = f"{registry.address}/lab/tool"
    assert (await user.prepare(f"{name}:1", "Always")).digest == other.digest
    assert registry.asked == []
    newer = registry.publish("2", {**CONFIG, "Cmd": None})
    registry.scheme = "Basic"
    assert (await user.prepare(f"{name}:2", "Always")).digest == newer
    other.scheme = "Basic"
    other.users = {}
    assert (await user.prepare(f"{name}:2", "Always")).digest == newer
    assert not any("authorization" in headers for headers in other.headers)
    with pytest.raises(ImageError, match=f"{name}:3: not found"):
        await user.prepare(f"{name}:3", "Always")


async def test_where_a_registry_is(tmp_path: Path) -> None:
    ca_file = Path(ssl.get_default_verify_paths().openssl_cafile)
    access = {"docker.io": RegistryAccess(mirror="cache:5000"), "cache:5000": RegistryAccess(ca_file=ca_file)}
    roots = [endpoint.root for endpoint in Endpoints(access).of(parse("busybox"))]
    assert roots == ["https://cache:5000/v2/", "https://registry-1.docker.io/v2/"]
    (tmp_path / "ca.pem").write_text("none")
    for path in ("ca.pem", "absent.pem"):
        with pytest.raises(Invalid, match=r"images\.registries\.quay\.io\.caFile: .* holds no certificates"):
            Endpoints({"quay.io": RegistryAccess(ca_file=tmp_path / path)})
