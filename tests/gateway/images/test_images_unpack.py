"""Layers become a directory: the rules of OCI layers, and what a stranger may try with them.

https://github.com/opencontainers/image-spec/blob/main/layer.md
"""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from farnode.gateway.images import tree, unpack

Member = tuple[str, dict[str, Any], bytes]


def file(name: str, content: bytes = b"x", **fields: Any) -> Member:
    return name, fields, content


def special(name: str, kind: bytes, **fields: Any) -> Member:
    return name, {"type": kind, **fields}, b""


def directory(name: str, **fields: Any) -> Member:
    return special(name, tarfile.DIRTYPE, **{"mode": 0o755, **fields})


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    return special(name, kind, linkname=target)


def archive(members: Sequence[Member]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as out:
        for name, fields, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in fields.items():
                setattr(member, key, value)
            out.addfile(member, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[..., Path]:
    """What layers become."""

    def unpacked(*layers: Sequence[Member], limit: int = 10**6) -> Path:
        paths = [tmp_path / f"layer{number}" for number in range(len(layers))]
        for path, members in zip(paths, layers, strict=True):
            path.write_bytes(gzip.compress(archive(members)))
        target = tmp_path / "image"
        unpack.unpack(paths, target, limit)
        return target

    return unpacked


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_what_a_file_keeps(unpacked: Callable[..., Path]) -> None:
    root = unpacked(
        [
            directory("./", mode=0o700),
            directory("./d", mode=0o1777, mtime=5),
            file("d/run", mode=0o4755, mtime=10),
            file("secret", mode=0),
            directory("closed", mode=0),
            file("closed/in", mode=0o444),
            link("s", "/d/run"),
            link("h", "./d/run", tarfile.LNKTYPE),
            special("fifo", tarfile.FIFOTYPE, mode=0o666),
            special("null", tarfile.CHRTYPE),
            special("disk", tarfile.BLKTYPE),
            file("deep/er/file"),
        ]
    )
    assert names(root) == [
        "closed",
        "closed/in",
        "d",
        "d/run",
        "deep",
        "deep/er",
        "deep/er/file",
        "fifo",
        "h",
        "s",
        "secret",
    ]
    modes = {
        name: stat.S_IMODE((root / name).lstat().st_mode) for name in ("d", "d/run", "secret", "closed", "closed/in")
    }
    assert modes == {"d": 0o1777, "d/run": 0o755, "secret": 0o400, "closed": 0o700, "closed/in": 0o444}
    assert ((root / "d").stat().st_mtime, (root / "d/run").stat().st_mtime) == (5, 10)
    assert (root / "s").readlink() == Path("/d/run")
    assert (root / "h").samefile(root / "d/run")


def test_a_layer_over_another(unpacked: Callable[..., Path]) -> None:
    root = unpacked(
        [directory("etc"), file("etc/a", b"1"), file("etc/b"), file("f"), directory("d"), file("d/x"), link("l", "d")],
        [
            file("etc/a", b"2"),
            file("etc/.wh.b"),
            directory("f"),
            file("d", b"now a file"),
            file(".wh..wh.plnk"),
            file(".wh.never"),
            directory("l"),
            file("l/y"),
        ],
    )
    assert names(root) == ["d", "etc", "etc/a", "f", "l", "l/y"]
    assert (root / "etc/a").read_bytes() == b"2"
    assert not (root / "l").is_symlink()


@pytest.mark.parametrize("first", [True, False])
def test_an_opaque_directory_hides_what_is_below_it_only(unpacked: Callable[..., Path], first: bool) -> None:
    mark, own = file("d/.wh..wh..opq"), [directory("d"), file("d/new/x")]
    root = unpacked([directory("d/old"), file("d/new/y")], [mark, *own] if first else [*own, mark])
    assert names(root) == ["d", "d/new", "d/new/x"]


def test_links_lead_inside(unpacked: Callable[..., Path], tmp_path: Path) -> None:
    """As the image will see them: `/` is its own root, and above it is nothing."""
    (tmp_path / "outside").mkdir()
    root = unpacked(
        [
            link("abs", f"{tmp_path}/outside"),
            file("abs/a"),
            link("up", "../../../../outside"),
            file("up/b"),
            directory("usr/bin"),
            link("bin", "usr/bin"),
            file("bin/tool"),
            link("twice", "/bin/../bin/."),
            file("twice/second"),
        ]
    )
    assert list((tmp_path / "outside").iterdir()) == []
    assert (root / "outside/b").is_file()
    assert (root / str(tmp_path)[1:] / "outside/a").is_file()
    assert sorted(path.name for path in (root / "usr/bin").iterdir()) == ["second", "tool"]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([file("../x")], "'../x' leads out of the image"),
        ([file("a/../../x")], "leads out of the image"),
        ([link("h", "../../etc/passwd", tarfile.LNKTYPE)], "leads out of the image"),
        ([link("a", "b"), link("b", "a"), file("a/x")], "leads through too many links"),
        ([file("big", bytes(2 * 10**6))], r"larger than the room that images have at this site \(images\.maxBytes\)"),
        ([file(f"{number}", b"") for number in range(3000)], "larger than the room"),
        ([directory("d", size=-(1 << 30)), file("big", bytes(2 * 10**6))], "'d' has a size below zero"),
    ],
)
def test_what_is_refused(unpacked: Callable[..., Path], members: list[Member], words: str) -> None:
    with pytest.raises(unpack.Refused, match=words):
        unpacked(members)


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh..."])
def test_marks_that_would_remove_what_is_above(unpacked: Callable[..., Path], tmp_path: Path, name: str) -> None:
    root = unpacked([directory("d"), file("d/x")], [file(name)])
    assert names(root) == ["d", "d/x"]


def run(tmp_path: Path, *layers: bytes, limit: int = 10**6) -> subprocess.CompletedProcess[str]:
    paths = [tmp_path / f"layer{number}" for number in range(len(layers))]
    for path, data in zip(paths, layers, strict=True):
        path.write_bytes(data)
    argv = [sys.executable, "-I", "-S", unpack.__file__, str(tmp_path / "image"), str(limit), *map(str, paths)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_as_a_program(tmp_path: Path) -> None:
    done = run(tmp_path, archive([file("plain")]), gzip.compress(archive([file("zipped")])))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert names(tmp_path / "image") == ["plain", "zipped"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "a layer is damaged"),
        (b"no archive at all", "a layer is damaged"),
        (gzip.compress(archive([file("x")]))[:-20], "a layer is damaged"),
        (gzip.compress(archive([file("x", bytes(9999))])[:2000]), "a layer is damaged"),
        (archive([link("h", "absent", tarfile.LNKTYPE)]), "No such file or directory"),
    ],
)
def test_a_layer_that_is_none(tmp_path: Path, data: bytes, words: str) -> None:
    done = run(tmp_path, data)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_header_of_gigabytes(tmp_path: Path) -> None:
    """It would be read into memory whole."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 3 * 1024**3
    done = run(tmp_path, header.tobuf(tarfile.GNU_FORMAT))
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_zstd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shutil.which("zstd"), "the tests need Debian's zstd"
    data = subprocess.run(["zstd", "-c"], input=archive([file("small")]), capture_output=True, check=True).stdout
    assert run(tmp_path, data).returncode == 0
    assert names(tmp_path / "image") == ["small"]
    tree.remove(tmp_path / "image")
    assert "a layer is damaged" in run(tmp_path, data[:-10]).stderr
    tree.remove(tmp_path / "image")
    monkeypatch.setenv("PATH", "/nowhere")
    assert run(tmp_path, data).stderr == "a layer is compressed with zstd, and this host has no program zstd\n"
