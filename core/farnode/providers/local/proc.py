"""Who lives, by /proc."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "FARNODE_NONCE"
"""The variable by which every process of an allocation is known, however far it has moved from its parent."""


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """Clock ticks since the boot (field 22 of stat), also of a process that waits to be reaped; None: gone."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def alive(pid: int, start: int | None) -> bool:
    """Whether this very process runs; one of ours that has ended is reaped."""
    fields = _stat(pid)
    if not fields or int(fields[19]) != start:
        return False
    if fields[0] not in "ZX":
        return True
    with suppress(ChildProcessError):  # a child of the gateway before this one
        os.waitpid(pid, os.WNOHANG)
    return False


def _stat(pid: int) -> list[str]:
    """The fields after the name, which may hold blanks and brackets itself."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return stat[stat.rindex(")") + 2 :].split()


def marked(nonce: str) -> Iterator[int]:
    """The processes of this user that were started with the mark of an allocation."""
    mark = f"{MARK}={nonce}".encode()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):  # gone meanwhile, or another user's
                if mark in Path(entry.path, "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)


def sweep(nonce: str) -> None:
    """Kill all processes of an allocation; twice, since one may have forked while the first pass looked elsewhere."""
    for _ in range(2):
        for pid in marked(nonce):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
