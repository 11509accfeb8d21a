"""Directories that are lent again: only as they were made, and only when nobody is left who knows of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from farnode.runner.storage.scratch import Pool

from .stage import Stage, entries, play, shell

ELSEWHERE = "/usr/lib"


def change_mode(path: Path) -> None:
    path.chmod(0o755)


def lock(path: Path) -> None:
    path.chmod(0)


def fill(path: Path) -> None:
    (path / ".hidden").touch()


def link(path: Path) -> None:
    path.rmdir()
    path.symlink_to(ELSEWHERE)


def replace(path: Path) -> None:
    path.rmdir()
    path.touch()


@pytest.mark.parametrize("spoil", [change_mode, lock, fill, link, replace, Path.rmdir])
def test_what_is_not_as_it_was_is_not_lent_again(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    pool = Pool(str(tmp_path))
    kept, spoilt = pool.lend(), pool.lend()
    spoil(Path(spoilt))
    assert (pool.take_back(kept), pool.take_back(spoilt)) == (True, False)
    assert pool.lend() == kept
    assert pool.lend() not in (kept, spoilt)


def test_the_next_pod_gets_what_the_one_before_left_empty(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        kept: list[set[str]] = []
        for number, script in enumerate(["pwd", "pwd; touch left", "pwd; ls -A", "pwd; ls -A"]):
            stage.start(uid=f"u{number}", containers=[shell(script)])
            await stage.ended(f"u{number}")
            await stage.roster.empty()
            (line,) = (tmp_path / f"pods/u{number}/1.main.0.log").read_text().splitlines()
            kept.append({str(path) for path in entries(stage.scratch.disk)})
            assert (line.split()[-1] in kept[-1]) is (number != 1)
        assert kept[0] > kept[1]
        assert kept[1] < kept[2] == kept[3] != kept[0]

    play(tmp_path, scenario)


def test_who_escaped_does_not_see_what_the_next_pod_has(tmp_path: Path) -> None:
    """It left its session and emptied its environment while another pod ran, so it could be either's."""

    async def scenario(stage: Stage) -> None:
        stage.start(uid="u0", containers=[shell("exec sleep 1000")])
        escape = f"setsid env -i sh -c 'echo \\$\\$ > {tmp_path}/pid; exec sleep 1000' >/dev/null 2>&1"
        script = f'sh -c "{escape} &"; while ! test -s {tmp_path}/pid; do sleep 0.01; done; pwd'
        stage.start(uid="u1", containers=[shell(script)])
        await stage.ended("u1")
        pid = int((tmp_path / "pid").read_text())
        os.kill(pid, 0)
        home = stage.log().strip()
        stage.start(uid="u2", containers=[shell("pwd")])
        await stage.ended("u2")
        assert not (tmp_path / "pods/u2/1.main.0.log").read_text().strip().endswith(home)
        stage.roster.stop({"uid": "u0", "attempt": 1, "grace": 0})
        await stage.ended("u0")
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    play(tmp_path, scenario)
