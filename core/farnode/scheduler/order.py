"""Whose turn it is: the owner with the least in use, and of that owner's pods the one that has waited longest."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from heapq import heapify, heappop, heapreplace

from farnode.model.demand import Demand
from farnode.scheduler.queue import Line
from farnode.scheduler.room import Room, Use


class Shares:
    """What each owner has of the rooms that all share, as the largest share of any one resource (dominant resource
    fairness, Ghodsi et al., NSDI 2011). What somebody has in rooms of their own is taken from nobody."""

    def __init__(self, rooms: Iterable[Room]) -> None:
        self._all = Use()
        self._of: dict[str, Use] = {}
        for room in rooms:
            if room.owner is None:
                self._all.add(room.millicores, room.memory, room.gpus)
                self._count(room.used)

    def _count(self, used: Mapping[str, Use]) -> None:
        of = self._of
        for owner, use in used.items():
            if (mine := of.get(owner)) is None:
                of[owner] = replace(use)
            else:
                mine.add(use.millicores, use.memory, use.gpus)

    def add(self, owner: str, demand: Demand) -> None:
        self._of.setdefault(owner, Use()).add(demand.millicores, demand.memory, demand.gpu.count if demand.gpu else 0)

    def of(self, owner: str) -> float:
        """From 0 to 1."""
        use = self._of.get(owner)
        if use is None:
            return 0.0
        pairs = (use.millicores, self._all.millicores), (use.memory, self._all.memory), (use.gpus, self._all.gpus)
        return max((mine / every for mine, every in pairs if every), default=0.0)


class Turns:
    """The order of lines of one priority. `done` and `failed` tell what came of the line that was `next`."""

    def __init__(self, lines: Collection[Line], rooms: Iterable[Room]) -> None:
        self._lines: dict[str, list[tuple[float, int, Line]]] = {}
        for number, line in enumerate(lines):
            self._lines.setdefault(line.shape.owner, []).append((line.since, number, line))
        for of_owner in self._lines.values():
            heapify(of_owner)
        self._shares = Shares(rooms if len(self._lines) > 1 else ())
        self._owners = [(self._shares.of(owner), of_owner[0][0], owner) for owner, of_owner in self._lines.items()]
        heapify(self._owners)

    def next(self) -> Line | None:
        return self._lines[self._owners[0][2]][0][2] if self._owners else None

    def done(self) -> None:
        """Its first pod was bound."""
        lines = self._lines[self._owners[0][2]]
        _, number, line = lines[0]
        self._shares.add(line.shape.owner, line.shape.demand)
        if line.count:
            heapreplace(lines, (line.since, number, line))
        else:
            heappop(lines)
        self._go_on()

    def failed(self) -> None:
        """It is not looked at again."""
        heappop(self._lines[self._owners[0][2]])
        self._go_on()

    def _go_on(self) -> None:
        owner = self._owners[0][2]
        lines = self._lines[owner]
        if lines:
            heapreplace(self._owners, (self._shares.of(owner), lines[0][0], owner))
        else:
            heappop(self._owners)
