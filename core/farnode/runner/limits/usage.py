"""What containers use at one moment: processes, processor time, memory. Read in a thread, for many at once.

Memory of a pod that no process needs to have mapped, files in its /dev/shm and in volumes of medium Memory, counts for
the pod: which container wrote a file is known to the kernel alone. Such a file may at the same time be counted with the
processes that have it mapped, so of the two sums the larger one is taken; that is never more than the truth.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from . import memory
from .census import Census, Process, Resident, Trees
from .disk import measured
from .memory import Held

TICKS = os.sysconf("SC_CLK_TCK")


class Subject(NamedTuple):
    """A run of a container. `attempt` names its pod, `directories` are the pod's in memory. Limits: bytes of memory,
    processes and threads; None where it has none, or the kernel sees to it."""

    attempt: str
    resident: Resident
    directories: tuple[str, ...]
    memory: int | None
    processes: int | None


class Usage(NamedTuple):
    """`pids` are its living processes, `tasks` counts their threads, `cpu` is in seconds. `held` is their memory,
    `files` bytes of the pod's files in memory, `peak` the most of both that was seen."""

    pids: tuple[int, ...]
    tasks: int
    cpu: float
    held: Held
    files: int
    peak: int

    @property
    def memory(self) -> int:
        return together(self.held, self.files)


def together(held: Held, files: int) -> int:
    return held.private + max(held.shared, files)


class Ledger:
    """What is remembered of a container between two looks."""

    def __init__(self) -> None:
        self.peak = 0
        self._gone = 0
        self._trees: dict[tuple[int, int], int] = {}
        self._most = 0
        self._pages: tuple[tuple[int, int], ...] = ()
        self._held = memory.NOTHING

    def cpu(self, trees: Trees) -> float:
        """Seconds. Who dies leaves its time to its parent; what dies as a child of the runner leaves it here."""
        now = {key: sum(one.ticks for one in tree) for key, tree in trees.items()}
        self._gone += sum(ticks for key, ticks in self._trees.items() if key not in now)
        self._trees = now
        self._most = max(self._most, self._gone + sum(now.values()))
        return self._most / TICKS

    def bound(self, processes: Sequence[Process]) -> Held:
        """At least their memory, read anew where their resident pages have changed."""
        pages = tuple((one.pid, one.pages) for one in processes)
        if pages != self._pages:
            self._pages, self._held = pages, memory.bound(one.pid for one in processes)
        return self._held


class Usages:
    """Not for two threads at once."""

    def __init__(self, root: int) -> None:
        self._census = Census(root)
        self._ledgers: dict[int, Ledger] = {}

    def take(self, subjects: Sequence[Subject], everything: bool) -> list[Usage]:
        """Of each, in their order; memory only of those that have a limit of it, unless `everything` is wanted."""
        sessions = {subject.resident.session for subject in subjects}
        self._ledgers = {session: ledger for session, ledger in self._ledgers.items() if session in sessions}
        found = self._census.take(subject.resident for subject in subjects)
        weighed = [subject for subject in subjects if everything or subject.memory is not None]
        sizes = {path: measured(path) for path in {path for subject in weighed for path in subject.directories}}
        return [
            self._usage(subject, trees, sizes, everything or subject.memory is not None)
            for subject, trees in zip(subjects, found)
        ]

    def _usage(self, subject: Subject, trees: Trees, sizes: dict[str, int], weighed: bool) -> Usage:
        ledger = self._ledgers.setdefault(subject.resident.session, Ledger())
        alive = [one for tree in trees.values() for one in tree if one.alive]
        held, files = memory.NOTHING, sum(sizes.get(path, 0) for path in subject.directories)
        if weighed:
            held = ledger.bound(alive)
            if subject.memory is not None and together(held, files) > subject.memory:
                held = memory.exact((one.pid, one.parent) for one in alive)
            ledger.peak = max(ledger.peak, together(held, files))
        pids, tasks = tuple(one.pid for one in alive), sum(one.threads for one in alive)
        return Usage(pids, tasks, ledger.cpu(trees), held, files, ledger.peak)
