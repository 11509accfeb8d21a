"""farnode as a process: exit codes, signals, and a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from pathlib import Path

from tests.cli.conftest import Shell
from tests.client.fake import pod


def test_exec_passes_input_output_and_the_code(shell: Shell) -> None:
    assert shell("run", "-d", "-f", shell.file("pod.yaml", pod("one"))).exit_code == 0
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with shell.popen("exec", "-i", "one", "--", "cat", **pipes) as cat:
        out, _ = cat.communicate(b"x" * 100_000, timeout=30)
        assert (cat.returncode, out) == (0, b"x" * 100_000)
    with shell.popen("exec", "one", "--", "exit", "41", **pipes) as exiting:
        assert exiting.communicate(timeout=30) == (b"", b"leaving\n")
        assert exiting.returncode == 41
    with (
        Path(shell.file("input", {"a": 1})).open("rb") as file,
        shell.popen("exec", "-i", "one", "--", "cat", stdin=file, stdout=subprocess.PIPE) as cat,
    ):
        assert cat.communicate(timeout=30)[0] == b"a: 1\n"


def test_exec_in_a_terminal_follows_its_size(shell: Shell) -> None:
    assert shell("run", "-d", "-f", shell.file("pod.yaml", pod("one"))).exit_code == 0
    terminal, end = pty.openpty()
    _resize(terminal, 24, 80)
    before = termios.tcgetattr(end)
    with shell.popen(
        "exec", "-it", "one", "--", "sizes", stdin=end, stdout=end, stderr=end, start_new_session=True, preexec_fn=_own
    ) as process:
        _expect(terminal, rb"24x80\r\n")
        _resize(terminal, 50, 132)
        _expect(terminal, rb"50x132\r\n")
        os.write(terminal, b"\x03")  # raw: Ctrl-C is a byte for the command, which ends at any
        assert process.wait(timeout=30) == 0
    assert termios.tcgetattr(end) == before
    os.close(terminal)
    os.close(end)


def test_ctrl_c_ends_the_pods(shell: Shell) -> None:
    shell.gateway.state.on_submit = shell.gateway.state.start
    with shell.popen("run", "-f", shell.file("pod.yaml", pod("one")), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while b"Running" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 143
        assert b"ending the pods" in process.stderr.read()


def test_a_second_ctrl_c_leaves_them(shell: Shell) -> None:
    site = shell.gateway.state
    site.on_submit = site.start
    site._delete = lambda deletion: {"uid": deletion["uid"], "verdict": "accepted"}  # type: ignore[method-assign]
    with shell.popen("run", "-f", shell.file("pod.yaml", pod("one")), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while b"Running" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        while b"ending the pods" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130


def test_a_reader_that_leaves_ends_it_quietly(shell: Shell) -> None:
    assert shell("run", "-d", "-f", shell.file("pod.yaml", pod("one"))).exit_code == 0
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with shell.popen("logs", "one", "-c", "endless", **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=30)
        assert process.stderr.read() == b""


def _own() -> None:
    """The terminal sends SIGWINCH to the process whose own it is."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _resize(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _expect(terminal: int, pattern: bytes) -> None:
    seen = b""
    while not re.search(pattern, seen):
        seen += os.read(terminal, 4096)
