"""Files to and from containers, by the container's own tar."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farnode import Client, NotFound, Permanent, Pod
from farnode.client import archive
from tests.client.live import program, running
from tests.sites import EmbeddedSite

BIG = 64 * 2**20


@pytest.fixture(scope="module")
def client(embedded_site: EmbeddedSite) -> Iterator[Client]:
    with embedded_site.client() as client:
        yield client


@pytest.fixture(scope="module")
def pod(client: Client) -> Iterator[Pod]:
    pod = running(client, program("files", "sleep", "600"))
    yield pod
    client.delete(pod, grace=0)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A directory the container sees."""
    path = tmp_path / "there"
    path.mkdir()
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "empty").mkdir(parents=True)
    (root / "sub").mkdir()
    (root / "sub" / "file").write_text("content\n")
    (root / "script").write_text("#!/bin/sh\n")
    (root / "script").chmod(0o750)
    (root / "link").symlink_to("sub/file")
    os.link(root / "script", root / "twin")
    (root / ("long-" * 40)).write_text("long\n")
    return root


def test_a_file_takes_the_targets_name_or_its_own(client: Client, pod: Pod, there: Path, tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.write_text("1")
    one.chmod(0o740)
    client.copy_to(pod, one, f"{there}/renamed")
    assert (there / "renamed").read_text() == "1"
    assert (there / "renamed").stat().st_mode & 0o777 == 0o740
    client.copy_to(pod, one, str(there))
    assert (there / "one").read_text() == "1"
    client.copy_from(pod, f"{there}/one", tmp_path / "back")
    client.copy_from(pod, f"{there}/one", there)
    client.copy_from(pod, f"{there}/one", f"{tmp_path}/new/")
    assert [path.read_text() for path in (tmp_path / "back", there / "one", tmp_path / "new" / "one")] == ["1"] * 3
    assert (tmp_path / "back").stat().st_mode & 0o100


def test_a_tree_there_and_back(client: Client, pod: Pod, there: Path, tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "fifo")
    assert client.copy_to(pod, tree, f"{there}/new") == ["new/fifo: neither file, directory nor link"]
    client.copy_to(pod, str(tree), str(there))  # a directory that is there: into it
    assert (there / "tree" / "sub" / "file").read_text() == "content\n"
    client.copy_from(pod, f"{there}/new", tmp_path / "back")
    back = tmp_path / "back"
    assert sorted(path.relative_to(back) for path in back.rglob("*")) == sorted(
        path.relative_to(tree) for path in tree.rglob("*") if path.name != "fifo"
    )
    assert (back / "link").readlink() == Path("sub/file")
    assert (back / "script").stat().st_ino == (back / "twin").stat().st_ino
    assert (back / "script").stat().st_mode & 0o700 == 0o700
    (tree / "sub" / "file").write_text("newer\n")
    client.copy_to(pod, tree, str(there))
    client.copy_from(pod, f"{there}/tree", back)  # into what is there, over it
    assert (back / "sub" / "file").read_text() == "newer\n"


def test_much_of_it_is_exact(client: Client, pod: Pod, there: Path, tmp_path: Path) -> None:
    block = os.urandom(2**20)
    with (tmp_path / "big").open("wb") as file:
        for _ in range(BIG // len(block)):
            file.write(block)
    client.copy_to(pod, tmp_path / "big", str(there))
    client.copy_from(pod, f"{there}/big", tmp_path / "back")
    digests = [hashlib.sha256(path.read_bytes()).digest() for path in (tmp_path / "big", tmp_path / "back")]
    assert digests[0] == digests[1]


def test_what_cannot_be_is_said(client: Client, pod: Pod, there: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no-such: no such file or directory"):
        client.copy_to(pod, "no-such", str(there))
    with pytest.raises(Permanent, match=r"tar in the container: .*No such file"):
        client.copy_from(pod, f"{there}/no-such", tmp_path / "x")
    (tmp_path / "big").write_bytes(b"x" * 2**22)
    with pytest.raises(Permanent, match=r"tar in the container: .*No such file"):
        client.copy_to(pod, tmp_path / "big", f"{there}/no/such/directory")
    (there / "one").write_text("1")
    (tmp_path / "file").write_text("")
    with pytest.raises(Permanent, match="file"):
        client.copy_from(pod, str(there), tmp_path / "file")


def test_a_container_without_tar(client: Client, there: Path, tmp_path: Path) -> None:
    pod = running(client, program("bare", "/bin/sleep", "600", env=[{"name": "PATH", "value": str(there)}]))
    (tmp_path / "one").write_text("1")
    for copy in (
        lambda: client.copy_to(pod, tmp_path / "one", str(there)),
        lambda: client.copy_from(pod, "/etc/hostname", tmp_path),
    ):
        with pytest.raises(Permanent, match="the container has no tar, which copying needs"):
            copy()
    client.delete(pod, grace=0)


def made(*entries: tuple[tarfile.TarInfo, bytes]) -> Callable[[], bytes]:
    """An archive as a hostile tar sends it."""
    file = io.BytesIO()
    with tarfile.open(mode="w|", fileobj=file, format=tarfile.GNU_FORMAT) as writer:
        for entry, content in entries:
            entry.size = len(content)
            writer.addfile(entry, io.BytesIO(content))
    chunks = iter([file.getvalue(), b""])
    return lambda: next(chunks, b"")


def entry(name: str, kind: bytes = tarfile.REGTYPE, linkname: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, linkname, 0o777
    return info


def test_nothing_gets_out_of_the_target(tmp_path: Path) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    left_out = archive.unpack(
        made(
            (entry("d", tarfile.DIRTYPE), b""),
            (entry("d/absolute", tarfile.SYMTYPE, str(outside)), b""),
            (entry("d/above", tarfile.SYMTYPE, "../outside"), b""),
            (entry("d/above/x"), b"x"),
            (entry("d/device", tarfile.CHRTYPE), b""),
            (entry("d/inside", tarfile.SYMTYPE, "good"), b""),
            (entry("d/good"), b"good"),
        ),
        name="d",
        target=target,
        into=False,
    )
    assert [words.partition(":")[0] for words in left_out] == ["d/absolute", "d/above", "d/device"]
    assert not list(outside.iterdir())
    assert (target / "inside").read_text() == "good"
    for name in ("d/../../outside/x", "/etc/x", "other/x"):
        with pytest.raises(archive.Garbled, match="is not only of d"):
            archive.unpack(
                made((entry("d", tarfile.DIRTYPE), b""), (entry(name), b"x")), name="d", target=target, into=False
            )
    (tmp_path / "way").symlink_to(outside)
    archive.unpack(made((entry("f"), b"x")), name="f", target=tmp_path / "way" / "f", into=False)  # one's own link
    assert (outside / "f").read_text() == "x"
    with pytest.raises(archive.Garbled, match="is not the archive"):
        archive.unpack(lambda: b"noise" * 1000, name="d", target=target, into=False)


def test_a_link_to_nothing_is_no_archive_of_ours(tmp_path: Path) -> None:
    sent = made((entry("d", tarfile.DIRTYPE), b""), (entry("d/link", tarfile.LNKTYPE, "d/nothing"), b""))
    with pytest.raises(archive.Garbled, match="not the archive of d"):
        archive.unpack(sent, name="d", target=tmp_path / "d", into=False)
