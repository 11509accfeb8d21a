"""The gateway's side of the batch system: what is wanted is submitted and cancelled together, and it is asked when
something is expected of it.

Everything here may fail, hang or be repeated; what is learnt goes to the machine as stimuli.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from farnode.errors import Transient
from farnode.gateway import stimuli as s
from farnode.gateway.engine import Engine
from farnode.gateway.polling import Awaited, Polling, awaited
from farnode.gateway.records import AllocationRecord, Life
from farnode.gateway.runners import Runners
from farnode.model.allocation import AllocationId, AllocationRequest, Refused
from farnode.model.offer import Offer
from farnode.providers.port import AllocationProvider

log = logging.getLogger(__name__)

CANCEL_AGAIN = 60.0
"""Seconds after which a cancellation that shows no effect is repeated; batch systems leave a job 30 s or so to end."""
INVENTORY_AGAIN = 300.0
"""Seconds between two inventories at least, when there may be something new to know: after a refusal, or while a part
of the site is closed."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """Seconds between questions to the batch system at least, between inventories at most, and between collections of
    what the spool holds beyond its quota (bytes)."""

    poll: float
    inventory: float
    collect: float
    spool_quota: int


class BatchSystem:
    """`prepare` makes the directories of allocations, in a thread; `offers` is what the site has, as last heard, and
    `problem` why it did not answer last time."""

    def __init__(
        self,
        engine: Engine,
        provider: AllocationProvider,
        runners: Runners,
        cadence: Cadence,
        prepare: Callable[[Iterable[str]], None],
    ) -> None:
        self.offers: Sequence[Offer] = ()
        self._problems = {"inventory": "the batch system has not answered yet"}
        self._engine = engine
        self._machine = engine.machine
        self._provider = provider
        self._runners = runners
        self._cadence = cadence
        self._prepare = prepare
        self._to_submit: dict[str, None] = {}
        self._to_cancel: dict[str, None] = {}
        self._submitting = asyncio.Event()
        self._cancelling = asyncio.Event()
        self._under_way: set[str] = set()
        self._cancelled: dict[str, float] = {}
        self._polling = Polling(cadence.poll)
        self._news = asyncio.Event()
        self._refused = asyncio.Event()
        runners.gone = self._runner_gone

    @property
    def problem(self) -> str | None:
        return next(iter(self._problems.values()), None)

    def submit(self, nonce: str) -> None:
        self._to_submit[nonce] = None
        self._submitting.set()

    def cancel(self, nonce: str) -> None:
        self._to_cancel[nonce] = None
        self._cancelling.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._submit_loop())
            group.create_task(self._cancel_loop())
            group.create_task(self._poll_loop())
            group.create_task(self._inventory_loop())

    def _runner_gone(self, _: str) -> None:
        self._news.set()

    async def _submit_loop(self) -> None:
        while True:
            await self._submitting.wait()
            self._submitting.clear()
            nonces, self._to_submit = list(self._to_submit), {}
            records = [record for nonce in nonces if (record := self._machine.allocations.get(nonce)) is not None]
            wanted = [record.request for record in records if record.life is Life.WANTED and not record.cancelled]
            if wanted:
                self._under_way = {request.nonce for request in wanted}
                await self._submit(wanted)
                self._under_way = set()
            self._news.set()

    async def _submit(self, wanted: Sequence[AllocationRequest]) -> None:
        answers: Sequence[AllocationId | Refused]
        try:
            await asyncio.to_thread(self._prepare, [request.nonce for request in wanted])
            answers = await self._provider.submit(wanted)
            if len(answers) != len(wanted):
                raise Transient(f"{len(answers)} answers to {len(wanted)} requests")
            self._problems.pop("submission", None)  # which says nothing of what questions are worth
        except Exception as error:
            log.warning("submission: %s", error)
            self._problems["submission"] = str(error)
            answers = [AllocationId(request.nonce) for request in wanted]
        at = self._engine.clock()
        for request, answer in zip(wanted, answers, strict=True):
            log.info("allocation %s: submitted, %s", request.nonce, answer)
            if isinstance(answer, Refused):
                await self._engine.tell(s.AllocationRefused(at, request.nonce, answer.words, answer.again))
            else:
                await self._engine.tell(s.AllocationSubmitted(at, request.nonce, answer.job))
        await self._engine.ask()
        if any(isinstance(answer, Refused) and not answer.again for answer in answers):
            self._refused.set()

    async def _cancel_loop(self) -> None:
        while True:
            await self._cancelling.wait()
            self._cancelling.clear()
            nonces, self._to_cancel = list(self._to_cancel), {}
            records = [record for nonce in nonces if (record := self._machine.allocations.get(nonce)) is not None]
            live = [each for each in records if each.life is not Life.ENDED and not self._is_submitting(each)]
            try:
                await self._provider.cancel([record.id for record in live])
                self._cancelled |= dict.fromkeys((record.nonce for record in live), self._engine.clock())
            except Exception as error:
                log.warning("cancellation, to be repeated: %s", error)
            self._news.set()

    def _is_submitting(self, record: AllocationRecord) -> bool:
        """There is nothing to cancel yet: what comes of the submission is cancelled, or was never made."""
        return record.life is Life.WANTED and (record.nonce in self._to_submit or record.nonce in self._under_way)

    async def _poll_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            due = self._polling.due(self._expected(), loop.time())
            if due is not None and due <= loop.time():
                answered = await self._poll()
                self._polling.asked(loop.time(), answered)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._news.wait()

    def _expected(self) -> dict[str, Awaited]:
        """What the batch system has yet to say of each allocation: nothing of one that is just being submitted."""
        allocations, connected = self._machine.allocations, self._runners.connected
        pairs = ((nonce, awaited(record, nonce in connected)) for nonce, record in allocations.items())
        submitting = self._under_way | self._to_submit.keys()
        return {nonce: what for nonce, what in pairs if what is not None and nonce not in submitting}

    async def _poll(self) -> bool:
        """One question for all of which something may be said; whether it was answered."""
        records = [self._machine.allocations[nonce] for nonce in self._expected()]
        try:
            states = await self._provider.states([record.id for record in records])
            if records:
                self._problems.clear()
            self._problems.pop("states", None)
        except Exception as error:
            log.warning("states: %s", error)
            self._problems["states"] = str(error)
            return False
        at = self._engine.clock()
        await self._engine.ask(
            *(s.AllocationSeen(at, record.nonce, states[record.id]) for record in records if record.id in states)
        )
        self._cancel_again(at)
        return True

    def _cancel_again(self, at: float) -> None:
        live = {
            nonce: record
            for nonce, record in self._machine.allocations.items()
            if record.cancelled and record.life is not Life.ENDED
        }
        self._cancelled = {nonce: last for nonce, last in self._cancelled.items() if nonce in live}
        for nonce, record in live.items():
            known = record.life in (Life.SUBMITTED, Life.RUNNING)
            if known and at - self._cancelled.get(nonce, 0.0) > CANCEL_AGAIN:
                self._to_cancel[nonce] = None
                self._cancelling.set()

    async def _inventory_loop(self) -> None:
        patience = self._cadence.poll
        while True:
            self._refused.clear()
            try:
                self.offers = await self._provider.inventory()
                self._problems.clear()
                await self._engine.tell(s.Tick(self._engine.clock()))
                least = INVENTORY_AGAIN
                most = least if any(offer.problem for offer in self.offers) else self._cadence.inventory
                patience = self._cadence.poll
            except Exception as error:
                log.warning("inventory: %s", error)
                self._problems["inventory"] = str(error)
                least = most = patience
                patience = min(2 * patience, 4 * self._cadence.poll)
            await asyncio.sleep(min(least, most))
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, most - least)):
                    await self._refused.wait()
