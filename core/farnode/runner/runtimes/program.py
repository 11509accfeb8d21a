"""The last step of every start: find the program and become it, with words like a kubelet's when that fails."""

from __future__ import annotations

import os
import signal

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NotFound(ValueError):
    """There is no such program."""


def find(name: str, env: dict[str, str], cwd: str) -> str:
    """The file to execute for `name`, looked for in the file system as it is seen here; ValueError with words."""
    if not name:
        raise NotFound('exec: "": no command')
    if "/" in name:
        return runnable(os.path.join(cwd, name), name)
    for part in env.get("PATH", DEFAULT_PATH).split(":"):
        path = os.path.join(cwd, part, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise NotFound(f'exec: "{name}": executable file not found in $PATH')


def runnable(path: str, name: str) -> str:
    if os.path.isdir(path):
        raise ValueError(f'exec: "{name}": is a directory')
    if os.access(path, os.X_OK):
        return path
    if not os.path.exists(path):
        raise NotFound(f'exec: "{name}": stat {name}: no such file or directory')
    raise ValueError(f'exec: "{name}": permission denied')


def directory(path: str) -> str:
    if not os.path.isdir(path):
        raise ValueError(f'chdir to cwd ("{path}") failed: no such file or directory')
    return path


def become(argv: list[str], env: dict[str, str], cwd: str) -> None:
    """Replace this process; comes back only by ValueError with words."""
    try:
        os.chdir(directory(cwd))
        path = find(argv[0], env, cwd)
        fresh_signals()
        os.execve(path, argv, env)  # noqa: S606
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        raise ValueError(f'exec: "{argv[0]}": {words}') from error


def fresh_signals() -> None:
    """What an interpreter or a shell above us ignores or blocks is no business of the program's."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
