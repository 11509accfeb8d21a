"""Both ways to start a program do the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from farnode.runner.processes import spawn
from farnode.runner.runtime import Command

REPORT = "umask; pwd; ps -o sid= -p $$ | tr -d ' '; echo $$; cat; env; grep -E 'SigIgn|SigBlk' /proc/self/status"


@pytest.mark.parametrize("start", [spawn._spawn, spawn._fork])
def test_a_program_gets_what_it_shall_and_no_more(tmp_path: Path, start: Callable[[Command, spawn.Stdio], int]) -> None:
    reading, writing = os.pipe()
    directory, umask = Path.cwd(), os.umask(0o077)
    try:
        pid = start(Command(["sh", "-c", REPORT], {"PATH": "/usr/bin:/bin"}, str(tmp_path)), (None, writing, writing))
        os.close(writing)
        os.waitpid(pid, 0)
        with os.fdopen(reading, "rb") as file:
            lines = file.read().decode().split()
        assert (Path.cwd(), os.umask(0o077)) == (directory, 0o077)
    finally:
        os.umask(umask)
    assert lines[:4] == ["0022", str(tmp_path), str(pid), str(pid)]
    assert {line.partition("=")[0] for line in lines[4:] if "=" in line} <= {"PATH", "PWD", "SHLVL", "_", "OLDPWD"}
    blocked, ignored = int(lines[-3], 16), int(lines[-1], 16)
    assert blocked == 0
    inherited = {number for number in range(1, 32) if signal.getsignal(number) is signal.SIG_IGN}
    allowed = inherited - {signal.SIGPIPE, signal.SIGXFSZ} if start is spawn._fork else set()
    assert {number for number in range(1, 32) if ignored & 1 << (number - 1)} <= allowed


@pytest.mark.parametrize("start", [spawn._spawn, spawn._fork])
@pytest.mark.parametrize("argv", [["no-such-program"], ["/no/such/program"], ["/etc/passwd"]])
def test_what_cannot_be_executed(start: Callable[[Command, spawn.Stdio], int], argv: list[str]) -> None:
    with pytest.raises(OSError, match=argv[0]):
        start(Command(argv, {"PATH": "/usr/bin:/bin"}, "/"), (None, 1, 2))
    with pytest.raises(OSError, match="/no/such/directory"):
        start(Command(["true"], {"PATH": "/usr/bin:/bin"}, "/no/such/directory"), (None, 1, 2))
