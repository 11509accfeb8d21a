"""Finding processes in /proc."""

from __future__ import annotations

import os
import subprocess

from farnode.runner.processes.leftovers import Mark, children_of, mark_of, scanned_children_of, session_of


def test_children_and_marks() -> None:
    mark = Mark("u1/1", "main")
    command = ["sh", "-c", "echo; read x"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=mark.variables(), start_new_session=True, **pipes) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        assert process.pid in children_of(os.getpid())
        assert sorted(scanned_children_of(os.getpid())) == sorted(children_of(os.getpid()))
        assert mark_of(process.pid) == mark
        assert session_of(process.pid) == process.pid
        process.stdin.write(b"\n")
    assert mark_of(process.pid) is None
    assert session_of(process.pid) == 0
    assert mark_of(os.getpid()) is None
