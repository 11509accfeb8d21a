"""The processes of this node as a tree, read from /proc."""

from __future__ import annotations

import os


def stat_of(pid: int) -> tuple[str, str, int, int]:
    """Name, state, parent and start time (in the kernel's ticks) of a process; OSError when it is gone."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        before, _, after = file.read().rpartition(b") ")
    fields = after.split()
    name = before.partition(b"(")[2].decode(errors="replace")
    return name, fields[0].decode(), int(fields[1]), int(fields[19])


def descendants(root: int) -> list[int]:
    """All living processes below `root`, parents before children; zombies are not among them but theirs are."""
    children: dict[int, list[tuple[int, bool]]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                _, state, parent, _ = stat_of(int(name))
            except (OSError, ValueError, IndexError):
                continue
            children.setdefault(parent, []).append((int(name), state in "ZX"))
    found: list[int] = []
    queue = [root]
    for pid in queue:
        for child, dead in children.get(pid, ()):
            queue.append(child)
            if not dead:
                found.append(child)
    return found
