"""The process above a runner: it outlives it, and lets nothing of an allocation outlive itself.

It is the subreaper of everything started below it, so a process that a container left behind (double fork, own
session, emptied environment) comes back here and not to init. When the runner ends, every descendant is killed until
none is left; what happened is written to ``supervisor.json`` and the runner's exit status is ours.

It stays small on purpose: no event loop, no network, nothing that could fail or grow while the runner is busy.
If it dies itself, the runner reads the end of the lifeline (the pipe whose number is in FARNODE_LIFELINE) and ends its
pods; what is left even then is swept by the job script.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Iterator

from .runtimes import program, tree

LIFELINE = "FARNODE_LIFELINE"
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
"""TERM ends the runner; USR1 and USR2 are a batch system's warning that the end is near."""
PR_SET_CHILD_SUBREAPER = 36
KILL_ROUNDS = 200
PAUSE = 0.05
"""Seconds between two rounds. After 200 of them (10 s) what still lives sleeps in the kernel and cannot be killed."""


def main(arguments: list[str]) -> int:
    """Run ``arguments`` (the runner) to its end, and return its exit status (128 + n when signal n ended it)."""
    become_subreaper()
    signals = set(PASSED_ON) | {signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    runner = start(arguments)
    status = attend(runner, signals)
    left = kill_descendants()
    report(status, left)
    return status if status >= 0 else 128 - status


def become_subreaper() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this kernel has no subreapers (Linux 3.4)")


def start(arguments: list[str]) -> int:
    """Start the runner with the reading end of the lifeline; the writing end stays open here until we die."""
    reading, writing = os.pipe()
    runner = os.fork()
    if runner:
        os.close(reading)
        return runner
    try:
        os.close(writing)
        os.set_inheritable(reading, True)
        program.fresh_signals()
        os.execve(arguments[0], arguments, {**os.environ, LIFELINE: str(reading)})  # noqa: S606
    except OSError as error:
        print(f"farnode: cannot start the runner: {error}", file=sys.stderr, flush=True)  # noqa: T201
    finally:
        os._exit(126)


def attend(runner: int, signals: set[signal.Signals]) -> int:
    """Pass signals on and reap orphans until the runner has ended; returns -n when signal n ended it."""
    while True:
        for pid, status in reap():
            if pid == runner:
                return exit_status(status)
        got = signal.sigwait(signals)
        if got != signal.SIGCHLD:
            os.kill(runner, got)


def reap() -> Iterator[tuple[int, int]]:
    """What ended since the last call, ours and orphans that came to us."""
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            yield pid, status
    except ChildProcessError:
        return


def exit_status(status: int) -> int:
    """As `os.waitstatus_to_exitcode`."""
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def kill_descendants() -> list[int]:
    """SIGKILL to every descendant, again and again because they may fork; returns what could not be killed."""
    left: list[int] = []
    for _ in range(KILL_ROUNDS):
        left = tree.descendants(os.getpid())
        if not left:
            break
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(PAUSE)
        for _pid, _status in reap():
            pass
    return left


def report(status: int, left: list[int]) -> None:
    """Say how it ended, for the gateway; the file appears whole or not at all."""
    words = f"the runner was ended by signal {-status}" if status < 0 else f"the runner exited with {status}"
    if left:
        words += f"; {len(left)} processes could not be killed: they wait in the kernel"
    path = os.path.join(os.environ.get("FARNODE_ALLOCATION", "."), "supervisor.json")
    try:
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump({"status": status, "at": time.time(), "words": words}, file)
        os.replace(path + ".new", path)
    except OSError as error:
        print(f"farnode: {words}; cannot write {path}: {error}", file=sys.stderr)  # noqa: T201
