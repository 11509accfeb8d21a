"""Terminals for containers and execs.

A terminal must become the controlling one of the new process's session, which Python's subprocess cannot ask for.
Every command a runtime makes with `tty` does that itself with the terminal it finds on its standard input, so here a
terminal is only made and sized; nothing runs between fork and exec.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios

END_OF_INPUT = b"\x04"
"""What a terminal takes for it."""


def open_terminal(rows: int = 24, columns: int = 80) -> tuple[int, int]:
    """Master and slave; the slave is for the child's three descriptors and is to be closed here after its start."""
    master, slave = os.openpty()
    resize(master, rows, columns)
    os.set_blocking(master, False)
    return master, slave


def resize(master: int, rows: int, columns: int) -> None:
    """The kernel tells the foreground process group by SIGWINCH. Sizes beyond 16 bits are cut."""
    size = struct.pack("HHHH", min(max(rows, 0), 0xFFFF), min(max(columns, 0), 0xFFFF), 0, 0)
    fcntl.ioctl(master, termios.TIOCSWINSZ, size)
