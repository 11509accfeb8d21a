"""A container's terminal under a name of its own, so that `ttyname` tells one.

The terminal is the node's: its name there is none in the container, whose /dev/pts is another one. As a mount it can
be brought along from the node's /dev/pts (Linux 5.2); the program's standard streams are then opened by the new name.
Where that cannot be, the program has its terminal, but no name for it.
"""

from __future__ import annotations

import contextlib
import os

from . import namespaces
from .root import touch

MAIN = "/dev/console"
"""The name of the main program's, as other container runtimes have it."""


def take() -> int | None:
    """The terminal of our standard streams, as a mount without a place. It takes a mount namespace of our own, so this
    process must be allowed to make one."""
    standard = streams()
    if not standard:
        return None
    with contextlib.suppress(OSError):
        name = os.ttyname(standard[0])
        namespaces.unshare(namespaces.CLONE_NEWNS)
        return namespaces.take(name)
    return None


def show(taken: int, name: str) -> None:
    """In the container: let it appear as `name`, and have the standard streams be that."""
    try:
        touch(name)
        namespaces.put(taken, name)
        opened = os.open(name, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return
    for number in streams():
        os.dup2(opened, number)


def hide(name: str) -> None:
    """In the container, when the program has ended."""
    with contextlib.suppress(OSError):
        namespaces.detach(name)
        os.unlink(name)


def streams() -> list[int]:
    return [number for number in range(3) if os.isatty(number)]
