from __future__ import annotations

import signal
import struct
import subprocess
from pathlib import Path

import pytest

from farnode.runner.runtimes import holder


def test_it_says_that_it_stands_ignores_signals_and_ends_with_its_input(tmp_path: Path) -> None:
    path = tmp_path / holder.NAME
    holder.write(str(path))
    assert path.stat().st_mode & 0o777 == 0o700
    with subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.read(1) == holder.SIGN
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            process.send_signal(number)
        process.stdin.write(b"x")
        process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
        process.stdin.close()
        assert process.wait(5) == 0


@pytest.mark.parametrize("machine", holder.CODE)
def test_the_file_says_how_long_it_is(machine: str) -> None:
    data = holder.program(machine)
    assert struct.unpack_from("<Q", data, 64 + 32)[0] == len(data)
    assert data.endswith(b"\xff" * 8)


def test_an_unknown_machine_has_none() -> None:
    with pytest.raises(KeyError):
        holder.program("z80")
