"""Where state may live, and that it has one owner at a time."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from farnode.errors import Invalid
from farnode.gateway.disk import NOT_LOCAL, check_state_directory, file_system
from farnode.gateway.lock import StateLock

HOLD = """
import sys, pathlib
from farnode.gateway.lock import StateLock
lock = StateLock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_local_directory_is_made_private(tmp_path: Path) -> None:
    check_state_directory(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


@pytest.mark.parametrize("magic", NOT_LOCAL)
def test_a_shared_file_system_is_refused(tmp_path: Path, magic: int) -> None:
    with pytest.raises(Invalid, match=f"state: .* is on {NOT_LOCAL[magic]}.*accepted"):
        check_state_directory(tmp_path, magic)


def test_statfs_is_read_right() -> None:
    assert file_system(Path("/proc")) == 0x9FA0
    with pytest.raises(FileNotFoundError):
        file_system(Path("/nothing/here"))


def test_what_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Invalid, match="cannot be used"):
        check_state_directory(tmp_path / "file" / "state")


def test_a_second_gateway_is_told_of_the_first(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as first:
        assert first.stdout is not None
        assert first.stdin is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(Invalid, match=f"process {first.pid} on host .*end that one first"):
            StateLock(tmp_path)
        first.kill()
    with StateLock(tmp_path):  # what was killed holds nothing
        holder = json.loads((tmp_path / "lock").read_text())
    assert holder["pid"] == os.getpid()
    assert (tmp_path / "lock").read_text() == ""


def test_a_holder_on_another_machine_is_believed(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(json.dumps({"host": "login2", "boot": "other", "pid": 7}))
    with pytest.raises(Invalid, match="process 7 on host login2; if it surely runs no more, remove"):
        StateLock(tmp_path)
    (tmp_path / "lock").write_text("garbage")
    StateLock(tmp_path).release()
