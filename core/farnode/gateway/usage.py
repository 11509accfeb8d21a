"""What allocations are used for and what they cost: idle time, node-hours by owner, and the cap on them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from farnode.gateway.ledger import DAY, SHARED, Ledger, day_of

FRESH = 1.0
"""Seconds for which the time of running allocations is not counted again, unless others run."""


class Usage:
    """Node-seconds that running pilots were not used by pods: the integral over time of 1 - load. It begins anew with
    each start of the gateway, as a counter may."""

    def __init__(self) -> None:
        self._ended: defaultdict[str, float] = defaultdict(float)
        self._levels: dict[str, _Level] = {}

    def note(self, nonce: str, owner: str | None, load: float, at: float) -> None:
        """From now on the pilot is used to `load`, between 0 and 1."""
        level, load = self._levels.get(nonce), min(1.0, max(0.0, load))
        if level is None or level.load != load:
            self.end(nonce, at)
            self._levels[nonce] = _Level(owner or SHARED, load, at)

    def end(self, nonce: str, at: float) -> None:
        level = self._levels.pop(nonce, None)
        if level is not None:
            self._ended[level.owner] += level.idle(at)

    def idle_since(self, nonce: str) -> float | None:
        """None where pods use it, or nothing is known of it."""
        level = self._levels.get(nonce)
        return level.since if level is not None and level.load == 0.0 else None

    def idle_by_owner(self, at: float) -> Mapping[str, float]:
        idle = defaultdict(float, self._ended)
        for level in self._levels.values():
            idle[level.owner] += level.idle(at)
        return idle


@dataclass(frozen=True, slots=True)
class _Level:
    owner: str
    load: float
    since: float

    def idle(self, at: float) -> float:
        return (1.0 - self.load) * max(0.0, at - self.since)


class NodeHours:
    """Node-hours by owner, of what ended and what runs, and the cap on those of a day (None: no cap)."""

    def __init__(self, cap: float | None, ledger: Ledger) -> None:
        self.cap = cap
        self._ledger = ledger
        self._running: Mapping[str, _Sum] = {}
        self._counted = (-1, 0.0)
        self._shown: dict[str, float] = {}

    def spent_today(self, owner: str, at: float) -> float:
        """Hours since midnight UTC."""
        stored = self._ledger.by_day.get((owner, day_of(at)), 0.0)
        return (stored + self._now(at).get(owner, _NOTHING).today) / 3600

    def today(self, at: float) -> Mapping[str, float]:
        """Hours since midnight UTC, of every owner that has any."""
        day = day_of(at)
        owners = {owner for owner, of in self._ledger.by_day if of == day} | self._now(at).keys()
        return {owner: self.spent_today(owner, at) for owner in sorted(owners)}

    def may_ask(self, owner: str, at: float) -> str | None:
        """Why no allocation may begin for this owner now, in words."""
        if self.cap is None or (spent := self.spent_today(owner, at)) < self.cap:
            return None
        words = f"owner {owner} has used {spent:.1f} of {self.cap:g} node-hours today"
        return f"{words}; new allocations begin after midnight UTC"

    def seconds(self, at: float) -> Mapping[str, float]:
        """All node-seconds by owner, for a counter: what was once shown is never more than what is shown later, though
        an end becomes known after it, or a part is charged to somebody else."""
        sums: defaultdict[str, float] = defaultdict(float)
        for (owner, _), seconds in self._ledger.by_day.items():
            sums[owner] += seconds
        for owner, running in self._now(at).items():
            sums[owner] += running.whole
        for owner, total in sums.items():
            self._shown[owner] = max(total, self._shown.get(owner, 0.0))
        return self._shown

    def _now(self, at: float) -> Mapping[str, _Sum]:
        edition, counted = self._counted
        if edition != self._ledger.edition or not 0.0 <= at - counted < FRESH:
            self._running, self._counted = _running(self._ledger, at), (self._ledger.edition, at)
        return self._running


@dataclass(frozen=True, slots=True)
class _Sum:
    """Node-seconds of what runs: all, and those since midnight."""

    whole: float
    today: float


_NOTHING = _Sum(0.0, 0.0)


def _running(ledger: Ledger, at: float) -> Mapping[str, _Sum]:
    sums: dict[str, _Sum] = {}
    midnight = at - at % DAY
    for one in ledger.running.values():
        known = sums.get(one.owner, _NOTHING)
        whole = one.nodes * max(0.0, at - one.started)
        today = one.nodes * max(0.0, at - max(one.started, midnight))
        sums[one.owner] = _Sum(known.whole + whole, known.today + today)
    return sums
