"""Starting a program cheaply on every Python.

Python 3.9's `subprocess` copies the whole runner to start a program, which costs milliseconds and grows with it;
`posix_spawn` borrows it. What that cannot set for the child alone (directory, umask, CPUs, the score by which the
kernel chooses whom to end) is set here for a moment: the runner uses absolute paths only, its threads make no files,
and CPUs are a thread's own. A Python built for a C library older than 2.26 cannot
spawn into a session of its own: there `subprocess` does it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import signal
from collections.abc import Collection
from typing import Optional

from ..limits import cgroup
from ..runtime import Command

UMASK = 0o022
"""As in every container; the runner's own is stricter."""
DEFAULTED = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
"""A program begins with every signal as it is by default, whatever Python and who started the runner ignore."""

SCORE = "/proc/self/oom_score_adj"

Stdio = tuple[Optional[int], int, int]
"""Descriptors; None is /dev/null."""


def spawn(command: Command, stdio: Stdio) -> int:
    """Start it in a session of its own, with these three descriptors and those that are inheritable; returns its
    process number, which the caller waits for. Raises OSError when the program cannot be executed."""
    if command.began is not None:
        os.set_inheritable(command.began, True)
    cpus, scored = _move_to(command.cpus), _score(command.oom_score)
    try:
        pid = _spawn(command, stdio)
    except NotImplementedError:
        pid = _fork(command, stdio)
    finally:
        _move_to(cpus)
        if scored:
            _score(_own_score()[1])
    if command.group:
        cgroup.join(command.group, pid)
    return pid


def _move_to(cpus: Collection[int]) -> Collection[int]:
    """Returns those we were on; none where nothing was changed. CPUs that are there no more are no reason not to
    start."""
    if not cpus:
        return ()
    ours = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, cpus)
    return ours


def _score(score: int | None) -> bool:
    """Whether it was set. One that may not be set is no reason not to start, either."""
    if score is None:
        return False
    try:
        os.pwrite(_own_score()[0], b"%d" % score, 0)
    except OSError:
        return False
    return True


@functools.lru_cache(maxsize=1)
def _own_score() -> tuple[int, int]:
    """The file to write our score to, and the score."""
    descriptor = os.open(SCORE, os.O_RDWR | os.O_CLOEXEC)
    return descriptor, int(os.read(descriptor, 16))


def _spawn(command: Command, stdio: Stdio) -> int:
    actions: list[tuple[object, ...]] = [
        (os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDONLY, 0)
        if descriptor is None
        else (os.POSIX_SPAWN_DUP2, descriptor, number)
        for number, descriptor in enumerate(stdio)
    ]
    here = os.open(".", os.O_PATH)
    umask = os.umask(UMASK)
    try:
        os.chdir(command.cwd or "/")
        return os.posix_spawn(
            _executable(command),
            command.argv,
            command.env,
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=DEFAULTED,
        )
    finally:
        os.fchdir(here)
        os.close(here)
        os.umask(umask)


def _executable(command: Command) -> str:
    """Where the program is, looked for as a shell would."""
    name = command.argv[0]
    if "/" in name:
        return name
    for directory in os.get_exec_path(command.env):
        path = os.path.join(directory, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(errno.ENOENT, "executable file not found in $PATH", name)


def _fork(command: Command, stdio: Stdio) -> int:
    import subprocess

    process = subprocess.Popen(
        command.argv,
        env=command.env,
        cwd=command.cwd or "/",
        stdin=subprocess.DEVNULL if stdio[0] is None else stdio[0],
        stdout=stdio[1],
        stderr=stdio[2],
        start_new_session=True,
        pass_fds=() if command.began is None else (command.began,),
        umask=UMASK,
    )
    process.returncode = 0  # the caller waits for it: subprocess shall not
    return process.pid
