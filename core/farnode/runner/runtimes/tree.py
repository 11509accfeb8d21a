"""The processes of this node as a tree, read from /proc."""

from __future__ import annotations

import os

STATE, PARENT, SESSION, TICKS, THREADS, START, PAGES = 0, 1, 3, slice(11, 15), 17, 19, 21
"""Places in the fields of `stat_of`: processor time is the process' own and its ended children's, of user and system;
the start is in the kernel's ticks since the boot, pages are resident."""


def stat_of(pid: int) -> tuple[str, list[bytes]]:
    """The name of a process, and what stands behind it (proc(5), /proc/<pid>/stat); OSError when it is gone."""
    descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        before, _, after = os.read(descriptor, 4096).rpartition(b") ")
    finally:
        os.close(descriptor)
    return before.partition(b"(")[2].decode(errors="replace"), after.split()


def start_of(pid: int) -> int:
    """With its number it makes a process unmistakable; OSError when it is gone."""
    return int(stat_of(pid)[1][START])


def descendants(root: int) -> list[int]:
    """All living processes below `root`, parents before children; zombies are not among them but theirs are."""
    children: dict[int, list[tuple[int, bool]]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                _, fields = stat_of(int(name))
                children.setdefault(int(fields[PARENT]), []).append((int(name), fields[STATE] in b"ZX"))
            except (OSError, IndexError):
                continue
    found: list[int] = []
    queue = [root]
    for pid in queue:
        for child, dead in children.get(pid, ()):
            queue.append(child)
            if not dead:
                found.append(child)
    return found
