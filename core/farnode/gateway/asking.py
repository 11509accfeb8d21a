"""What allocations are asked for with, what the account may still ask for, and what pods in line are told. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from farnode.gateway import stimuli as s
from farnode.gateway.machine import Machine
from farnode.gateway.records import AllocationRecord
from farnode.gateway.requests import Terms
from farnode.gateway.usage import NodeHours
from farnode.model.offer import Offer
from farnode.scheduler import pilots
from farnode.scheduler import terms as matching
from farnode.scheduler.queue import Line, Shape

SETTLE = 0.1
"""Seconds for which the first pods wait for those that come with them, before an allocation is asked for."""
TOLD = 256
"""Pods of a kind, the first in line, that are told what they wait for."""
TELL_AGAIN = 1.0
"""Seconds."""
KINDS = 10_000
"""Of pods, for which it is known when they were told."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Site settings. `share`: pods of all owners in one allocation. `dedicated`: every pod gets an allocation of its
    own. `cores`: of one pilot at most."""

    share: bool
    matching: matching.Terms
    pilots: pilots.Terms
    dedicated: bool = False
    cores: int | None = None


@dataclass(frozen=True, slots=True)
class Means:
    """What requests are made of: site settings, the directory and the nonces of allocations, and the owners' hours."""

    terms: Terms
    policy: Policy
    directory: Callable[[str], Path]
    nonce: Callable[[], str]
    hours: NodeHours

    def nonces(self, count: int) -> list[str]:
        """Of allocations that are asked for at once."""
        base = self.nonce()
        return [base] if count == 1 else [f"{base}-{index}" for index in range(count)]


class Spare:
    """How many more jobs the account may have queued or running, by offer."""

    def __init__(self, offers: Sequence[Offer], live: Sequence[AllocationRecord]) -> None:
        jobs = {(record.offer, _job(record)) for record in live}
        self.left: dict[str, int] = {}
        for offer in offers:
            if offer.max_submit is not None:
                self.left[offer.name] = offer.max_submit - sum(name == offer.name for name, _ in jobs)

    def may(self, offer: Offer, count: int) -> int:
        return max(0, min(count, self.left.get(offer.name, count)))

    def spend(self, offer: Offer, count: int) -> None:
        if offer.name in self.left:
            self.left[offer.name] -= count

    def words(self, offer: Offer) -> str:
        if self.left.get(offer.name, 1) <= 0:
            return f"{offer.name}: {offer.max_submit} batch jobs is this account's limit"
        return f"{offer.name}: as many batch jobs are queued as may be at once"


def _job(record: AllocationRecord) -> str:
    """The nodes of one job count once."""
    return record.request.base if record.request.together else record.nonce


class Telling:
    """Pods hear what they wait for: only the first of those that wait for the same, and not with every decision."""

    def __init__(self, machine: Machine) -> None:
        self._pods = machine.pods
        self._last: dict[Shape, float] = {}

    def __call__(self, line: Line, words: str, at: float) -> Iterator[s.Unplaceable]:
        if at - self._last.get(line.shape, float("-inf")) < TELL_AGAIN:
            return
        if len(self._last) >= KINDS:
            self._last.clear()
        self._last[line.shape] = at
        for uid in list(islice(line.uids, TOLD)):
            if self._pods[uid].status.get("message") != words:
                yield s.Unplaceable(at, uid, words)


class Settling:
    """`wake_at`: when the first line that is not settled will be."""

    def __init__(self, at: float) -> None:
        self.wake_at: float | None = None
        self._at = at

    def __call__(self, line: Line) -> bool:
        ready = line.since + SETTLE
        if ready > self._at:
            self.wake_at = min(ready, self.wake_at or ready)
        return ready <= self._at
