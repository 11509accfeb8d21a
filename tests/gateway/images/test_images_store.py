"""From a name to an image on the spool: a registry over HTTP, a fake apptainer on PATH."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from farnode.gateway.images import ImageError, once, tree
from farnode.gateway.images.shelf import Known, Shelf
from farnode.model.image import Image
from tests.gateway.images.registry import CONFIG, INDEX, PASSWORD, FakeRegistry
from tests.gateway.images.user import User

pytestmark = pytest.mark.anyio
Make = Callable[..., User]


def calls(fake: Path) -> list[str]:
    return (fake / "calls").read_text().splitlines() if (fake / "calls").exists() else []


def left(images: Path) -> list[str]:
    """What is neither an image nor known."""
    return [path.name for path in images.glob(".*") if not path.name.endswith(".lock")]


def images_of(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("*.sif"))


async def test_a_name_becomes_a_file_by_digest(make: Make, registry: FakeRegistry, fake: Path, tmp_path: Path) -> None:
    name, user = f"{registry.address}/lab/tool:1", make()
    image = await user.prepare(name, "IfNotPresent")
    path = tmp_path / "images" / f"{registry.digest[7:]}.sif"
    assert image == Image(name, registry.digest, str(path), ("/bin/tool",), ("serve",), ("A=1",), "/work", "SIGUSR1")
    assert path.read_text() == "layers\n"
    call, index = calls(fake)
    assert re.fullmatch(r"build --disable-cache /\S+/image oci:layout", call)
    assert json.loads(index)["manifests"][0]["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert left(tmp_path / "images") == []
    assert [reason for reason, _ in user.heard] == ["Pulling", "Pulled"]
    assert user.heard[0][1] == f'Pulling image "{name}"'
    size = sum(len(registry.objects[digest]) for digest in registry.layers) + len(registry.image)
    words = rf'Successfully pulled image "{name}" in \S+s \(\S+s including waiting\)\. Image size: {size} bytes\.'
    assert re.fullmatch(words, user.heard[1][1])


async def test_a_directory_needs_no_tool(make: Make, registry: FakeRegistry, fake: Path, tmp_path: Path) -> None:
    (fake / "apptainer").unlink()
    image = await make().prepare(f"{registry.address}/lab/tool:1", "Always", "directory")
    assert image.path == str(tmp_path / "images" / registry.digest[7:])
    assert (Path(image.path) / "bin/tool").read_text() == "tool"
    assert left(tmp_path / "images") == []


async def test_both_forms_side_by_side(make: Make, registry: FakeRegistry, fake: Path) -> None:
    store, name = make(), f"{registry.address}/lab/tool:1"
    paths = [(await store.prepare(name, "IfNotPresent", form)).path for form in ("sif", "directory", "sif")]
    assert paths[0] == paths[2] == f"{paths[1]}.sif"
    assert len(calls(fake)) == 2
    assert await store.store.collect(()) > len("layers\n")


async def test_it_is_made_once_however_many_want_it(make: Make, registry: FakeRegistry, fake: Path) -> None:
    store = make()
    name = f"{registry.address}/lab/tool"
    images = await asyncio.gather(*(store.prepare(f"{name}:1", "Always") for _ in range(8)))
    await make().prepare(f"{name}@{registry.tags['1']}", "IfNotPresent")
    assert len(set(images)) == 1
    assert len(calls(fake)) == 2
    assert sum(one.startswith("GET") for one in registry.asked) == 5  # index, manifest, configuration twice, layer


async def test_policies(make: Make, registry: FakeRegistry, fake: Path) -> None:
    store, name = make(), f"{registry.address}/lab/tool:1"
    words = f'Container image "{name}" is not present with pull policy of Never'
    with pytest.raises(ImageError, match=f"^{words}$") as never:
        await store.prepare(name, "Never")
    assert never.value.reason == "ErrImageNeverPull"
    first = await store.prepare(name, "IfNotPresent")
    newer = registry.publish("1", {**CONFIG, "Cmd": None})
    registry.asked.clear()
    store.heard.clear()
    assert await store.prepare(name, "IfNotPresent") == first
    assert await store.prepare(name, "Never") == first
    assert registry.asked == []
    assert store.heard == [("Pulled", f'Container image "{name}" already present on machine')] * 2
    image = await store.prepare(name, "Always")
    assert (image.digest, image.cmd) == (newer, ())
    assert (await store.prepare(name, "IfNotPresent")).digest == newer
    assert len(calls(fake)) == 4
    registry.asked.clear()
    assert await store.prepare(name, "Always") == image
    assert registry.asked == ["HEAD 1"]  # which Docker Hub does not count


async def test_a_name_by_digest_is_asked_for_once(make: Make, registry: FakeRegistry) -> None:
    """A digest says what an image is, but not that this repository, and its readers, have it."""
    store = make()
    await store.prepare(f"{registry.address}/lab/tool:1", "Always")
    registry.asked.clear()
    for digest in (registry.digest, registry.tags["1"]):
        assert (await store.prepare(f"{registry.address}/lab/tool@{digest}", "Never")).digest == registry.digest
    assert registry.asked == []
    with pytest.raises(ImageError, match="not found in the registry"):
        await store.prepare(f"{registry.address}/lab/other@{registry.digest}", "IfNotPresent")


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
async def test_a_login_of_the_site(make: Make, registry: FakeRegistry, fake: Path, login: Path, scheme: str) -> None:
    registry.scheme = scheme
    name = f"{registry.address}/lab/tool:1"
    with pytest.raises(ImageError, match=r"access denied to nobody without a login, .*images\.pullSecrets"):
        await make().prepare(name, "Always")
    await make(pull_secrets=(str(login),)).prepare(name, "Always")
    assert PASSWORD not in (fake / "environment").read_text() + (fake / "calls").read_text()
    assert (await make().prepare(name, "IfNotPresent")).digest == registry.digest  # for all pods of the site


async def test_what_a_registry_says_no_to(make: Make, registry: FakeRegistry) -> None:
    for name, words in [
        (f"{registry.address}/lab/tool:2", "lab/tool:2: not found in the registry"),
        (f"{registry.address}/lab/other:1", "lab/other:1: not found"),
        ("127.0.0.1:1/lab/tool:1", "the registry 127.0.0.1:1 does not answer"),
    ]:
        with pytest.raises(ImageError, match=words) as raised:
            await make().prepare(name, "Always")
        assert raised.value.reason == "ErrImagePull"


async def test_a_registry_that_answers_nonsense(make: Make, registry: FakeRegistry) -> None:
    foreign = {"digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "s390x"}}
    noted = {"digest": "sha256:" + "3" * 64, "platform": {"os": "unknown", "architecture": "unknown"}}
    wrong = "sha256:" + "1" * 64
    registry.objects |= {"text": b"<html>", wrong: b"{}", "long": b" " * 9 * 1024 * 1024}
    registry.tags |= {
        "none": registry.add({"layers": []}),
        "list": registry.add([1]),
        "other": registry.add({"mediaType": INDEX, "manifests": [foreign, noted, 7]}),
        "old": registry.add({"schemaVersion": 1, "fsLayers": []}),
        "chart": registry.manifest(CONFIG, [registry.add_layer(b"", "application/vnd.cncf.helm.chart.v1.tar+gzip")]),
        "size": registry.manifest(CONFIG, [{**registry.add_layer(b"x"), "size": -1}]),
        "arm": registry.manifest(CONFIG, [], architecture="riscv64"),
    }
    for version, words in [
        (":none", "is no container image: its manifest lacks 'config'"),
        (":list", "is no container image"),
        (":text", "is not JSON"),
        (":long", "exceeds 8388608 bytes"),
        (":other", r"no match for platform in manifest: linux/\w+; the index has linux/s390x$"),
        (":arm", r"no match for platform in manifest: linux/\w+; it is for linux/riscv64"),
        (":old", "its manifest is of Docker's schema 1"),
        (":chart", "it has a layer of type application/vnd.cncf.helm.chart"),
        (":size", "lacks a digest of 64 hex digits and a size"),
        (f"@{wrong}", "when asked for sha256:111"),
    ]:
        with pytest.raises(ImageError, match=words):
            await make().prepare(f"{registry.address}/lab/tool{version}", "Always")


async def test_apptainer_fails(make: Make, registry: FakeRegistry, fake: Path, tmp_path: Path) -> None:
    (fake / "fail").touch()
    with pytest.raises(ImageError, match="cannot be converted at this site: no space left on device") as raised:
        await make().prepare(f"{registry.address}/lab/tool:1", "Always")
    assert "\033" not in str(raised.value)
    assert left(tmp_path / "images") == []


async def test_apptainer_takes_too_long(
    make: Make, registry: FakeRegistry, fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake / "hang").touch()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("APPTAINER_TMPDIR", str(tmp_path / "tmp"))
    with pytest.raises(ImageError, match="not fetched within 1 s"):
        await make(timeout="1s").prepare(f"{registry.address}/lab/tool:1", "Always")
    with pytest.raises(ProcessLookupError):
        os.kill(int((fake / "hang").read_text()), 0)
    assert left(tmp_path / "images") == []
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_there_is_no_apptainer(make: Make, registry: FakeRegistry, fake: Path, tmp_path: Path) -> None:
    (fake / "apptainer").unlink()
    with pytest.raises(ImageError, match=r"no apptainer, .*`images\.format: directory` needs none"):
        await make().prepare(f"{registry.address}/lab/tool:1", "Always")
    store = make(prepared={"lab/tool:1": str(tmp_path)}, directories=[str(tmp_path)])
    assert (await store.prepare("lab/tool:1", "Always")).path == str(tmp_path)
    assert (await store.prepare(str(tmp_path), "Never")).path == str(tmp_path)


async def test_the_quota(make: Make, registry: FakeRegistry, tmp_path: Path) -> None:
    store = make(max_bytes=1024**2)
    registry.publish("big", CONFIG, {"zeros": bytes(3 * 1024**2)})
    with pytest.raises(ImageError, match="larger than the room that images have"):  # though its layer is small
        await store.prepare(f"{registry.address}/lab/tool:big", "Always", "directory")
    put(Shelf(tmp_path / "images"), "1", 2 * 1024**2)
    with pytest.raises(ImageError, match=r"bytes and more are needed, while 2097152 of the 1048576"):
        await store.prepare(f"{registry.address}/lab/tool:1", "Always")
    assert await store.store.collect(()) == 2 * 1024**2  # used just now


async def test_a_file_cut_short_is_made_anew(make: Make, registry: FakeRegistry, fake: Path, tmp_path: Path) -> None:
    store, name = make(), f"{registry.address}/lab/tool:1"
    image = await store.prepare(name, "IfNotPresent")
    os.truncate(image.path, 2)
    assert await store.prepare(name, "IfNotPresent") == image
    assert [path.stat().st_size for path in (tmp_path / "images").glob("*.sif")] == [len("layers\n")]
    assert len(calls(fake)) == 4


async def test_a_prepared_file_where_a_directory_is_needed(make: Make, tmp_path: Path) -> None:
    (tmp_path / "tool.sif").touch()
    store = make(prepared={"lab/tool:1": str(tmp_path / "tool.sif")}, directories=[str(tmp_path)])
    for name in ("lab/tool:1", f"{tmp_path}/tool.sif"):
        with pytest.raises(ImageError, match="is a file, which apptainer alone can run"):
            await store.prepare(name, "IfNotPresent", "directory")


async def test_killed_while_it_fetches(make: Make, registry: FakeRegistry, fake: Path, tmp_path: Path) -> None:
    """What a dead gateway left half made hinders nobody, and goes later."""
    half = Shelf(tmp_path / "images").temporary(registry.digest)
    (half / "layout").mkdir()
    os.utime(half, (0, 0))
    assert (await make().prepare(f"{registry.address}/lab/tool:1", "Always")).digest == registry.digest
    await make().store.collect(())
    assert left(tmp_path / "images") == []


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


def put(shelf: Shelf, name: str, size: int) -> None:
    made = shelf.temporary(f"sha256:{name}") / "image"
    made.write_bytes(bytes(size))
    shelf.put(f"sha256:{name}", "sif", made, {})
    tree.remove(made.parent)


def shelf_with(root: Path, count: int) -> tuple[Shelf, list[float]]:
    """Images of 100 bytes each, used one hour after the other."""
    now = [0.0]
    shelf = Shelf(root, clock=lambda: now[0])
    for number in range(count):
        put(shelf, str(number), 100)
        now[0] += 3600
    return shelf, now


async def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    shelf, now = shelf_with(tmp_path, 4)
    assert shelf.get("sha256:0", "sif") is not None
    now[0] += 7200
    assert shelf.collect(200, {str(tmp_path / "1.sif")}) == 200
    assert [entry.digest for entry in shelf.entries()] == ["sha256:1", "sha256:0"]
    assert images_of(tmp_path) == ["0.sif", "1.sif"]


async def test_leftovers_are_swept(tmp_path: Path) -> None:
    shelf, now = shelf_with(tmp_path, 1)
    shelf.remember("lost", Known("sha256:8", "sha256:8", 1, open=True))
    shelf.remember("kept", Known("sha256:0", "sha256:0", 1, open=True))
    half = shelf.temporary("sha256:9")
    (half / "closed/deep").mkdir(parents=True)
    (half / "closed").chmod(0)
    for path in (half, *(tmp_path / "names").iterdir()):
        os.utime(path, (1000, 1000))
    now[0] = 1500
    shelf.sweep(1000)
    assert half.exists()
    now[0] = 2500
    shelf.sweep(1000)
    assert not half.exists()
    assert (shelf.known("lost"), shelf.known("kept")) == (None, Known("sha256:0", "sha256:0", 1, open=True))
    assert shelf.get("sha256:0", "sif") is not None
    (tmp_path / "0.sif.json").write_text("")  # a power cut
    assert shelf.get("sha256:0", "sif") is None
    assert shelf.entries() == []
