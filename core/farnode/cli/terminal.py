"""This process's own terminal and standard input, for exec."""

from __future__ import annotations

import os
import sys
import termios
import tty
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

import anyio

_CHUNK = 65536


@contextmanager
def raw() -> Iterator[None]:
    """Every key goes to the command, Ctrl-C too; restored whatever happens. What was typed before is not lost."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def size() -> tuple[int, int] | None:
    """Rows and columns; None where the terminal has none to tell, as under `script` or a job runner."""
    found = os.get_terminal_size(sys.stdin.fileno())
    return (found.lines, found.columns) if found.lines and found.columns else None


async def typed() -> AsyncGenerator[bytes, None]:
    """Standard input as it comes, until its end; nothing is read before it is asked for."""
    descriptor = sys.stdin.fileno()
    waits = True
    while True:
        if waits:
            try:
                await anyio.wait_readable(descriptor)
            except PermissionError:  # a file or /dev/null never keeps its reader waiting, nor can it be polled
                waits = False
        data = os.read(descriptor, _CHUNK)
        if not data:
            return
        yield data
