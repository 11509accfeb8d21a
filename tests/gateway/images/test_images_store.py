"""From a name to an image on the spool: a registry over HTTP, a fake apptainer on PATH."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from farnode.gateway.images import ImageError, ImageStore, once
from farnode.gateway.images.shelf import Shelf
from farnode.model.image import Image
from tests.gateway.images.registry import CONFIG, PASSWORD, USER, FakeRegistry

pytestmark = pytest.mark.anyio
Make = Callable[..., ImageStore]


def calls(fake: Path) -> list[str]:
    return (fake / "calls").read_text().splitlines() if (fake / "calls").exists() else []


def left(images: Path) -> list[str]:
    """What is neither an image nor known."""
    return [path.name for path in images.glob(".*") if not path.name.endswith(".lock")]


def images_of(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("*.sif"))


async def test_a_name_becomes_a_file_by_digest(make: Make, registry: FakeRegistry, fake: Path, tmp_path: Path) -> None:
    name = f"{registry.address}/lab/tool:1"
    image = await make().prepare(name, "IfNotPresent")
    path = tmp_path / "images" / f"{registry.digest[7:]}.sif"
    assert image == Image(name, registry.digest, str(path), ("/bin/tool",), ("serve",), ("A=1",), "/work")
    assert path.read_text() == "layers\n"
    source = f"docker://{registry.address}/lab/tool@{registry.digest}"
    (call,) = calls(fake)
    assert call.startswith("build --disable-cache --no-https /")
    assert call.endswith(f"{source}  ")
    assert left(tmp_path / "images") == []


async def test_a_directory_where_the_site_wants_one(make: Make, registry: FakeRegistry, tmp_path: Path) -> None:
    image = await make(format="directory").prepare(f"{registry.address}/lab/tool:1", "Always")
    assert image.path == str(tmp_path / "images" / registry.digest[7:])
    assert (Path(image.path) / "layers").exists()


async def test_it_is_made_once_however_many_want_it(make: Make, registry: FakeRegistry, fake: Path) -> None:
    store = make()
    name = f"{registry.address}/lab/tool"
    images = await asyncio.gather(*(store.prepare(f"{name}:1", "Always") for _ in range(8)))
    await make().prepare(f"{name}@{registry.tags['1']}", "IfNotPresent")
    assert len(set(images)) == 1
    assert len(calls(fake)) == 1


async def test_policies(make: Make, registry: FakeRegistry, fake: Path) -> None:
    store, name = make(), f"{registry.address}/lab/tool:1"
    with pytest.raises(ImageError, match="pull policy is Never") as never:
        await store.prepare(name, "Never")
    assert never.value.reason == "ErrImageNeverPull"
    first = await store.prepare(name, "IfNotPresent")
    newer = registry.publish("1", {**CONFIG, "Cmd": None})
    registry.requests.clear()
    assert await store.prepare(name, "IfNotPresent") == first
    assert await store.prepare(name, "Never") == first
    assert registry.requests == []
    image = await store.prepare(name, "Always")
    assert (image.digest, image.cmd) == (newer, ())
    assert (await store.prepare(name, "IfNotPresent")).digest == newer
    assert len(calls(fake)) == 2


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
async def test_a_login_is_used_and_never_shown(
    make: Make, registry: FakeRegistry, fake: Path, login: Path, scheme: str
) -> None:
    registry.scheme = scheme
    name = f"{registry.address}/lab/tool:1"
    with pytest.raises(ImageError, match=r"access denied to nobody without a login \(images\.pullSecrets\)"):
        await make().prepare(name, "Always")
    await make(pull_secrets=(str(login),)).prepare(name, "Always")
    (call,) = calls(fake)
    arguments, _, environment = call.partition(registry.digest)
    assert PASSWORD not in arguments
    assert environment == f" {USER} {PASSWORD}"


async def test_what_a_registry_says_no_to(make: Make, registry: FakeRegistry) -> None:
    for name, words in [
        (f"{registry.address}/lab/tool:2", "lab/tool:2: not found in the registry"),
        (f"{registry.address}/lab/other:1", "lab/other:1: not found"),
        ("127.0.0.1:1/lab/tool:1", "the registry 127.0.0.1:1 does not answer"),
    ]:
        with pytest.raises(ImageError, match=words) as raised:
            await make().prepare(name, "Always")
        assert (raised.value.reason, raised.value.retry) == ("ErrImagePull", True)


async def test_a_registry_that_answers_nonsense(make: Make, registry: FakeRegistry) -> None:
    registry.tags["none"] = registry.add({"layers": []})
    registry.tags["list"] = registry.add([1])
    registry.objects["text"] = b"<html>"
    foreign = {"digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "s390x"}}
    registry.tags["other"] = registry.add({"manifests": [foreign]})
    wrong = "sha256:" + "1" * 64
    registry.objects[wrong] = b"{}"
    for version, words in [
        (":none", "is no container image"),
        (":list", "is no container image"),
        (":text", "is not JSON"),
        (":other", r"is not made for linux/\w+, but for \['s390x'\]"),
        (f"@{wrong}", "when asked for sha256:111"),
    ]:
        with pytest.raises(ImageError, match=words):
            await make().prepare(f"{registry.address}/lab/tool{version}", "Always")


async def test_apptainer_fails(make: Make, registry: FakeRegistry, fake: Path, tmp_path: Path) -> None:
    (fake / "fail").touch()
    with pytest.raises(ImageError, match="no space left on device") as raised:
        await make().prepare(f"{registry.address}/lab/tool:1", "Always")
    assert "\033" not in str(raised.value)
    assert left(tmp_path / "images") == []


async def test_apptainer_takes_too_long(make: Make, registry: FakeRegistry, fake: Path) -> None:
    (fake / "hang").touch()
    with pytest.raises(ImageError, match="not fetched within 1 s"):
        await make(timeout="1s").prepare(f"{registry.address}/lab/tool:1", "Always")
    with pytest.raises(ProcessLookupError):
        os.kill(int((fake / "hang").read_text()), 0)


async def test_there_is_no_apptainer(make: Make, registry: FakeRegistry, fake: Path, tmp_path: Path) -> None:
    (fake / "apptainer").unlink()
    with pytest.raises(ImageError, match="the site has no apptainer") as raised:
        await make().prepare(f"{registry.address}/lab/tool:1", "Always")
    assert raised.value.retry is False
    store = make(prepared={"lab/tool:1": str(tmp_path)}, directories=[str(tmp_path)])
    assert (await store.prepare("lab/tool:1", "Always")).path == str(tmp_path)
    assert (await store.prepare(str(tmp_path), "Never")).path == str(tmp_path)


async def test_the_quota(make: Make, registry: FakeRegistry, tmp_path: Path) -> None:
    store = make(max_bytes=1024**2)
    shelf = Shelf(tmp_path / "images", ".sif")
    made = shelf.temporary("sha256:1")
    made.write_bytes(bytes(2 * 1024**2))
    shelf.put("sha256:1", made, {})
    with pytest.raises(ImageError, match="fill their quota"):
        await store.prepare(f"{registry.address}/lab/tool:1", "Always")
    assert await store.collect(()) == 2 * 1024**2  # used just now


@contextmanager
def held(path: Path) -> Iterator[None]:
    """As by another gateway: another open file."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


async def test_a_lock_of_another_gateway_is_waited_for(
    make: Make, registry: FakeRegistry, fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "_POLL", 0)
    store = make()
    with held(tmp_path / "images" / f".{registry.digest[7:]}.lock"):
        waiting = asyncio.create_task(store.prepare(f"{registry.address}/lab/tool:1", "Always"))
        await registry.resolved.wait()
        assert not calls(fake)
    assert (await waiting).digest == registry.digest


def shelf_with(root: Path, count: int) -> tuple[Shelf, list[float]]:
    """Images of 100 bytes each, used one hour after the other."""
    now = [0.0]
    shelf = Shelf(root, ".sif", clock=lambda: now[0])
    for number in range(count):
        made = shelf.temporary(f"sha256:{number}")
        made.write_bytes(b"x" * 100)
        shelf.put(f"sha256:{number}", made, {})
        now[0] += 3600
    return shelf, now


async def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    shelf, now = shelf_with(tmp_path, 4)
    assert shelf.get("sha256:0") is not None
    now[0] += 7200
    assert shelf.collect(200, {str(tmp_path / "1.sif")}) == 200
    assert [entry.digest for entry in shelf.entries()] == ["sha256:1", "sha256:0"]
    assert images_of(tmp_path) == ["0.sif", "1.sif"]


async def test_leftovers_are_swept(tmp_path: Path) -> None:
    shelf, now = shelf_with(tmp_path, 1)
    half = shelf.temporary("sha256:9")
    half.mkdir()
    os.utime(half, (1000, 1000))
    now[0] = 1500
    shelf.sweep(1000)
    assert half.exists()
    now[0] = 2500
    shelf.sweep(1000)
    assert not half.exists()
    assert shelf.get("sha256:0") is not None
    (tmp_path / "0.json").write_text("")  # a power cut
    assert shelf.get("sha256:0") is None
    assert shelf.entries() == []
