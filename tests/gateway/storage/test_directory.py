"""The directory of a claim: made, given its quota, removed."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from farnode.gateway.storage import directory
from farnode.gateway.storage.directory import StorageError
from tests.providers.helpers import alive, until

pytestmark = pytest.mark.anyio


def test_it_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "alice/default/data"
    old = os.umask(0)
    try:
        assert directory.make(path)
        (path / "kept").touch()
        assert not directory.make(path)
    finally:
        os.umask(old)
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent, path.parent.parent)]
    assert modes == [0o700] * 3
    assert (path / "kept").exists()


@pytest.mark.parametrize("what", ["file", "link"])
def test_what_is_no_directory_of_ours_is_not_taken(tmp_path: Path, what: str) -> None:
    path = tmp_path / "data"
    if what == "file":
        path.touch()
    else:
        path.symlink_to(tmp_path)
    with pytest.raises(StorageError, match="is there and is no directory of this site's account"):
        directory.make(path)


def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"):
        directory.make(tmp_path / "file/below/data")


def test_all_of_it_is_removed_and_no_link_followed(tmp_path: Path) -> None:
    path, outside = tmp_path / "data", tmp_path / "outside"
    (path / "a/b").mkdir(parents=True)
    (path / "a/b/file").touch()
    outside.mkdir()
    (outside / "kept").touch()
    (path / "a/link").symlink_to(outside)
    (path / "a").chmod(0o500)
    directory.remove(path)
    directory.remove(path)
    assert [each.name for each in tmp_path.iterdir()] == ["outside"]
    assert (outside / "kept").exists()


def test_a_link_in_its_place_is_removed_alone(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir(0o500)
    (tmp_path / "data").symlink_to(tmp_path / "outside")
    directory.remove(tmp_path / "data")
    assert [each.name for each in tmp_path.iterdir()] == ["outside"]
    assert stat.S_IMODE((tmp_path / "outside").stat().st_mode) == 0o500


def test_a_removal_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.mkdir()
    (path / "old").touch()
    path.rename(directory.grave_of(path))
    directory.make(path)
    directory.remove(path)
    assert not list(tmp_path.iterdir())


async def test_a_quota_is_set_by_the_sites_command(tmp_path: Path) -> None:
    words = 'import sys; open(sys.argv[1], "w").write(" ".join(sys.argv[2:]))'
    await directory.set_quota([sys.executable, "-c", words, str(tmp_path / "asked"), "7", "$HOME;`id`"])
    assert (tmp_path / "asked").read_text() == "7 $HOME;`id`"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["sh", "-c", "echo no project left >&2; exit 3"], r"failed \(3\): no project left"),
        (["/no/such/command"], "cannot be run: .*No such file"),
    ],
)
async def test_a_quota_that_cannot_be_set_is_said(argv: list[str], words: str) -> None:
    with pytest.raises(StorageError, match=words):
        await directory.set_quota(argv)


async def test_a_quota_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "QUOTA_TIMEOUT", 0.1)
    with pytest.raises(StorageError, match=r"did not end within 0\.1 s"):
        await directory.set_quota(["sleep", "1000"])


async def test_nothing_is_left_of_a_quota_command_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "QUOTA_TIMEOUT", 0.5)
    child = tmp_path / "child"
    with pytest.raises(StorageError, match="did not end"):
        await directory.set_quota(["sh", "-c", f"sleep 1000 & echo $! > {child}; wait"])
    await until(lambda: not alive(int(child.read_text())))  # who dies a moment after the signal
