"""The processes below the runner, and which container each belongs to.

One reading of `/proc/<pid>/stat` says all that is needed of a process; it costs 8 µs. Processes that are not the
runner's cannot become its own, so they are read once and left out from then on: what a census costs depends on how many
processes the containers have, not on how many the node has.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..processes.leftovers import Mark, mark_of
from ..runtimes.tree import PAGES, PARENT, SESSION, START, STATE, THREADS, TICKS, stat_of

FORGET = 60
"""Censuses after which every process is read again: the numbers of those that have ended are given to others."""


class Process(NamedTuple):
    """`began` is its start in the kernel's ticks, which with the number makes it unmistakable; `ticks` of processor
    time are its own and those of its children that have ended; `pages` are resident."""

    pid: int
    parent: int
    session: int
    state: str
    threads: int
    began: int
    ticks: int
    pages: int

    @property
    def alive(self) -> bool:
        return self.state not in "ZX"


class Resident(NamedTuple):
    """What a census asks of a container: how its processes are found, by the runner's children among them (`roots`),
    by their session or by their mark."""

    roots: tuple[int, ...]
    session: int
    mark: Mark


Trees = dict[tuple[int, int], list[Process]]
"""Processes by the child of the runner that they are, or are below of: its number and its start."""


def process(pid: int) -> Process | None:
    """None when it is gone."""
    try:
        _, fields = stat_of(pid)
    except OSError:
        return None
    state, parent, session = fields[STATE].decode(), int(fields[PARENT]), int(fields[SESSION])
    threads, began, pages = int(fields[THREADS]), int(fields[START]), int(fields[PAGES])
    return Process(pid, parent, session, state, threads, began, sum(map(int, fields[TICKS])), pages)


class Census:
    """Not for two threads at once."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._foreign: set[int] = set()
        self._taken = 0
        self._marks: dict[tuple[int, int], Mark | None] = {}

    def take(self, residents: Iterable[Resident]) -> list[Trees]:
        """The trees of each resident, in their order."""
        trees = self._trees()
        self._marks = {key: mark for key, mark in self._marks.items() if key in trees}
        known = list(residents)
        by_root = {root: index for index, resident in enumerate(known) for root in resident.roots}
        by_session = {resident.session: index for index, resident in enumerate(known)}
        by_mark = {resident.mark: index for index, resident in enumerate(known)}
        found: list[Trees] = [{} for _ in known]
        for key, processes in trees.items():
            index = by_root.get(key[0], by_session.get(processes[0].session))
            if index is None and (mark := self._mark(key)):
                index = by_mark.get(mark)
            if index is not None:
                found[index][key] = processes
        return found

    def _mark(self, key: tuple[int, int]) -> Mark | None:
        if key not in self._marks:
            self._marks[key] = mark_of(key[0])
        return self._marks[key]

    def _trees(self) -> Trees:
        if self._taken % FORGET == 0:
            self._foreign.clear()
        self._taken += 1
        listed = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        self._foreign &= listed
        seen = {pid: one for pid in listed - self._foreign if (one := process(pid)) is not None}
        trees, ours = _below(self._root, seen)
        self._foreign |= {pid for pid in seen.keys() - ours if self._is_foreign(seen[pid], seen)}
        return trees

    def _is_foreign(self, one: Process, seen: Mapping[int, Process]) -> bool:
        """Not where a parent ended while we read: then whose it is will be seen the next time."""
        while one.parent in seen:
            one = seen[one.parent]
        return one.parent == 0 or one.parent in self._foreign


def _below(root: int, seen: Mapping[int, Process]) -> tuple[Trees, set[int]]:
    children: dict[int, list[Process]] = {}
    for one in seen.values():
        children.setdefault(one.parent, []).append(one)
    trees: Trees = {}
    ours = {root}
    for top in children.get(root, ()):
        tree = trees[top.pid, top.began] = [top]
        for one in tree:
            tree += children.get(one.pid, ())
        ours.update(one.pid for one in tree)
    return trees, ours
