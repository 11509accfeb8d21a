"""When the batch system is asked next: only when something is expected of it, and less and less often while nothing
comes of it. Pure; times are given.

One question is for all allocations that live, so the most impatient of them decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from farnode.gateway.records import AllocationRecord, Life
from farnode.model.allocation import Phase

PAUSE = 2.0
"""Seconds between two questions at least, whatever happens: a hundred runners may be lost one after the other."""


class Awaited(Enum):
    """What the batch system has yet to say of an allocation."""

    ARRIVAL = "arrival"
    """Whether it has the job at all: the answer to the submission was lost, or it knew nothing of it just now."""
    START = "start"
    """That it starts. Its runner tells that, too: the words of why it waits are what is asked for."""
    DEATH = "death"
    """Why its runner is not connected: the connection is lost, or the allocation."""
    END = "end"
    """That it has ended, as it was told to; or again, where what its runner left could not be read."""
    NOTHING = "nothing"
    """Its runner tells all; asked for safety."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds to the first question, to the second, and at most between two; each pause is `growth` times the last."""

    first: float
    second: float
    growth: float
    most: float


def rhythms(shortest: float) -> Mapping[Awaited, Rhythm]:
    """`shortest`: seconds between questions while nothing is known to have happened, at least; the longest go by it,
    too, because a site that is to be asked seldom is to be asked seldom of anything."""
    return {
        Awaited.ARRIVAL: Rhythm(2.0, 4.0, 2.0, max(4.0, 4 * shortest)),
        Awaited.START: Rhythm(shortest, 1.5 * shortest, 1.5, 8 * shortest),
        Awaited.DEATH: Rhythm(0.2, 2.0, 2.0, max(2.0, 4 * shortest)),
        Awaited.END: Rhythm(2.0, 4.0, 2.0, max(4.0, 4 * shortest)),
        Awaited.NOTHING: Rhythm(40 * shortest, 40 * shortest, 1.0, 40 * shortest),
    }


def awaited(record: AllocationRecord, connected: bool) -> Awaited | None:
    """None: the batch system has nothing to say of it."""
    if record.life is Life.ENDED or record.given_up is not None:
        return None
    if record.cancelled or record.phase == Phase.ENDED.value:
        return Awaited.END
    if record.life is Life.RUNNING:
        return Awaited.NOTHING if connected else Awaited.DEATH
    unclear = record.life is Life.WANTED or record.absent is not None
    return Awaited.ARRIVAL if unclear else Awaited.START


@dataclass(slots=True)
class _Turn:
    awaited: Awaited
    due: float
    pause: float


class Polling:
    """Remembers what was awaited of each allocation, and since when. `shortest` as for `rhythms`."""

    def __init__(self, shortest: float) -> None:
        self._rhythms = rhythms(shortest)
        self._shortest = self._patience = shortest
        self._again: float | None = None
        self._pause = min(shortest, PAUSE)
        self._turns: dict[str, _Turn] = {}
        self._asked = float("-inf")

    def due(self, expected: Mapping[str, Awaited], now: float) -> float | None:
        """When to ask next, by what is awaited of each nonce; None where nothing is."""
        for nonce in self._turns.keys() - expected.keys():
            del self._turns[nonce]
        for nonce, what in expected.items():
            turn = self._turns.get(nonce)
            if turn is None or turn.awaited is not what:
                rhythm = self._rhythms[what]
                self._turns[nonce] = _Turn(what, now + rhythm.first, rhythm.second)
        dues = [turn.due for turn in self._turns.values()]
        first = min(dues if self._again is None else [*dues, self._again], default=None)
        return None if first is None else max(first, self._asked + self._pause)

    def asked(self, now: float, answered: bool) -> None:
        """A question was put. One without an answer is put again, whatever is awaited: that the batch system is away is
        itself something to be told, and that it is back."""
        self._asked = now
        self._again = None if answered else now + self._patience
        self._patience = self._shortest if answered else min(2 * self._patience, 4 * self._shortest)
        for turn in self._turns.values():
            rhythm = self._rhythms[turn.awaited]
            turn.due = now + turn.pause
            turn.pause = min(turn.pause * rhythm.growth, rhythm.most)
