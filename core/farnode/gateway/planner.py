"""Asks the scheduler what to do with waiting pods, after every batch of stimuli. No I/O; nonces come from outside."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

from farnode.gateway import stimuli as s
from farnode.gateway.machine import Machine
from farnode.gateway.records import AllocationRecord, Life, PodRecord, Stage
from farnode.gateway.requests import Terms, dedicated, standing
from farnode.model.offer import Offer
from farnode.scheduler.matching import Room, Waiting, match
from farnode.scheduler.placement import Unfit, place

STANDING_RETRY = 60.0
"""Seconds at most between two tries to get a standing allocation that ends at once."""


class Planner:
    def __init__(
        self,
        machine: Machine,
        terms: Terms,
        directory: Callable[[str], Path],
        nonce: Callable[[], str],
        share: bool,
    ) -> None:
        self.offers: Sequence[Offer] = ()
        self.draining = False
        self._machine = machine
        self._terms = terms
        self._directory = directory
        self._nonce = nonce
        self._share = share
        self._tries: dict[tuple[str, str | None], tuple[int, float]] = {}

    def plan(self, at: float, connected: Callable[[str], bool]) -> Iterator[s.Stimulus]:
        live = [record for record in self._machine.allocations.values() if record.life is not Life.ENDED]
        if self.draining and all(pod.stage is Stage.ENDED for pod in self._machine.pods.values()):
            if not all(record.cancelled for record in live):
                yield s.StopAll(at)  # nobody needs the standing ones any more
            return
        yield from self._standing(live, at)
        if not self._machine.queued:
            return
        waiting = [pod for uid in self._machine.queued if _due(pod := self._machine.pods[uid], at)]
        yield from self._bind(waiting, [record for record in live if connected(record.nonce)], at)
        yield from self._ask(waiting, live, at)

    # ---- standing allocations: one per offer (and owner, where owners are kept apart) -------------------------------

    def _standing(self, live: Sequence[AllocationRecord], at: float) -> Iterator[s.Stimulus]:
        if self.draining:
            return
        have = {(record.offer, record.owner) for record in live if record.pod is None}
        for offer in self.offers:
            if not offer.standing:
                continue
            for owner in self._owners():
                key = (offer.name, owner)
                if key not in have and self._may_try(key, at):
                    nonce = self._nonce()
                    request = standing(self._terms, nonce, self._directory(nonce), owner, offer)
                    yield s.AllocationWanted(at, request, offer.name, owner=owner)

    def _owners(self) -> Sequence[str | None]:
        if self._share:
            return [None]
        return sorted({self._machine.pods[uid].owner for uid in self._machine.queued})

    def _may_try(self, key: tuple[str, str | None], at: float) -> bool:
        tries, last = self._tries.get(key, (0, -STANDING_RETRY))
        if at - last > 10 * STANDING_RETRY:
            tries = 0
        if at - last < min(STANDING_RETRY, 2.0 ** min(tries, 10) - 1):
            return False
        self._tries[key] = (tries + 1, at)
        return True

    # ---- pods ----------------------------------------------------------------------------------------------------

    def _bind(
        self, waiting: Sequence[PodRecord], allocations: Sequence[AllocationRecord], at: float
    ) -> Iterator[s.Stimulus]:
        claimed = self._claimed()
        rooms = [self._room(record, claimed) for record in allocations if record.pod is None and _open(record)]
        if rooms:
            pods = (Waiting(pod.uid, pod.owner, self._machine.demands[pod.uid]) for pod in waiting)
            yield from (s.Bound(at, uid, nonce) for uid, nonce in match(pods, rooms))

    def _claimed(self) -> defaultdict[str, set[int]]:
        """The ports of pods of ours by node, whatever allocation they are in. Which node a dedicated allocation gets is
        the batch system's choice: there the runner looks, and hands the pod back where a port is taken."""
        machine = self._machine
        claimed: defaultdict[str, set[int]] = defaultdict(set)
        for nonce, uids in machine.bound.items():
            if uids:
                claimed[_node(machine.allocations[nonce])].update(
                    port for uid in uids for port in machine.demands[uid].ports
                )
        return claimed

    def _room(self, record: AllocationRecord, claimed: defaultdict[str, set[int]]) -> Room:
        machine = self._machine
        demands = [machine.demands[uid] for uid in machine.bound.get(record.nonce, ())]
        gpus = record.capacity.get("gpus", ())
        offer = next((offer for offer in self.offers if offer.name == record.offer), None)
        return Room(
            record.nonce,
            record.owner,
            record.request.cores * 1000 - sum(demand.millicores for demand in demands),
            record.request.memory - sum(demand.memory for demand in demands),
            offer.gpus[0] if offer and offer.gpus else None,
            len(gpus) - sum(demand.gpu.count for demand in demands if demand.gpu),
            claimed[_node(record)],
        )

    def _ask(self, waiting: Sequence[PodRecord], live: Sequence[AllocationRecord], at: float) -> Iterator[s.Stimulus]:
        machine = self._machine
        if not self.offers:
            return
        choose = cache(lambda needs: place(needs, self.offers))
        counts = Counter(record.offer for record in live)
        for pod in waiting:
            if pod.uid not in machine.queued:
                continue
            placement = choose(machine.demands[pod.uid])
            if isinstance(placement, Unfit):
                yield s.Unplaceable(at, pod.uid, placement.words)
                continue
            offer = placement.offer
            if offer.standing:
                continue  # its allocation has no room for the pod now
            if offer.max_submit is not None and counts[offer.name] >= offer.max_submit:
                yield s.Unplaceable(at, pod.uid, f"{offer.name}: {offer.max_submit} batch jobs is this account's limit")
                continue
            counts[offer.name] += 1
            nonce, grace = self._nonce(), machine.bundles[pod.uid].pod.grace
            request = dedicated(
                self._terms, nonce, self._directory(nonce), pod.owner, machine.demands[pod.uid], grace, placement
            )
            yield s.AllocationWanted(at, request, offer.name, pod=pod.uid)


def _node(record: AllocationRecord) -> str:
    """The first label of its name: batch systems and hosts differ about the rest."""
    return record.nodes[0].partition(".")[0] if record.nodes else record.nonce


def _due(pod: PodRecord, at: float) -> bool:
    return pod.retry is None or at >= pod.retry


def _open(record: AllocationRecord) -> bool:
    return record.life is Life.RUNNING and not record.cancelled and record.given_up is None
