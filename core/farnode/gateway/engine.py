"""The loop: stimuli in, one transaction for all that came meanwhile, then answers, watchers and effects, in this order.

So whatever leaves the gateway is durable, and the more arrives at once the cheaper each becomes (group commit). The
transaction runs in a thread of its own; the machine runs only here.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from farnode.errors import Invalid
from farnode.gateway import stimuli as s
from farnode.gateway.ledger import Ledger
from farnode.gateway.machine import Machine
from farnode.gateway.port import EventsGone
from farnode.gateway.records import PodRecord, Stage
from farnode.gateway.state import Changed
from farnode.gateway.store import TOMBSTONES, Batch, Store
from farnode.gateway.timings import Timings
from farnode.model.bundle import Bundle, parse_bundle

log = logging.getLogger(__name__)

RETRY = 1.0
"""Seconds between tries to write a database that cannot be written."""
INBOX = 10_000
"""Stimuli waiting; beyond it senders wait."""
LINE = 50
"""Pods in a line of the log."""
GATHER, CROWD = 0.005, 16
"""Seconds from one batch to the next while more than so many pods are with their runners: a transaction costs as much
as all else that is done for a pod, and among so many nobody notices the wait."""

_Item = tuple[s.Stimulus | None, asyncio.Future[None] | None]


class Engine:
    """`plan` is asked for the scheduler's stimuli after each batch; `perform` gets what is to be done."""

    def __init__(self, machine: Machine, store: Store, clock: Callable[[], float]) -> None:
        self.machine = machine
        self.clock = clock
        self.seq = 0
        """Of the last change that is durable."""
        self.plan: Callable[[], Iterable[s.Stimulus]] = tuple
        self.perform: Callable[[list[s.Effect]], None] = len  # type: ignore[assignment]
        self.settings: dict[str, str] = {}
        self.problem: str | None = None
        """Why nothing can be stored now, in words."""
        self.ledger = Ledger(machine)
        self.timings = Timings(machine)
        self._store = store
        self._order: OrderedDict[str, int] = OrderedDict()
        self._gone: deque[tuple[int, str, str]] = deque(maxlen=TOMBSTONES)
        self._inbox: asyncio.Queue[_Item] = asyncio.Queue(INBOX)
        self._news = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._settings: dict[str, str] = {}

    def load(self) -> list[s.Effect]:
        """Read the store; the effects go on with what was under way."""
        loaded = self._store.load()
        for seq, pod in sorted(loaded.pods, key=lambda row: row[0]):
            self._order[pod.uid] = seq
        self._gone.extend(loaded.gone)
        self.settings = dict(loaded.settings)
        self.seq = max([*self._order.values(), *(seq for seq, _, _ in self._gone)], default=0)
        bundles = dict(_readable(loaded.bundles))
        pods = [pod for _, pod in loaded.pods if pod.uid in bundles]
        effects = self.machine.load(pods, bundles, loaded.allocations, self.clock(), loaded.claims)
        self.ledger.load(self._store.usage())
        self.timings.load()
        return effects

    async def tell(self, stimulus: s.Stimulus) -> None:
        """Hand over; waits only while too much is waiting already."""
        await self._inbox.put((stimulus, None))

    async def ask(self, *stimuli: s.Stimulus) -> None:
        """Hand over and wait until what follows from it is durable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for stimulus in stimuli:
            await self._inbox.put((stimulus, None))
        await self._inbox.put((None, done))
        await done

    def nudge(self) -> None:
        """Let the scheduler look again although nothing has happened; it will anyway where the inbox is full."""
        with suppress(asyncio.QueueFull):
            self._inbox.put_nowait((None, None))

    def set(self, name: str, value: str) -> None:
        """A setting kept with the state; durable with the next batch."""
        self.settings[name] = self._settings[name] = value

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            first = await self._inbox.get()
            begun = loop.time()
            effects, waiters = self._batch(first)
            batch = self._describe(self.machine.take_changed())
            if batch:
                await self._commit(batch)
                self._publish(batch)
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self.perform(effects)
            if len(self.machine.stages[Stage.BOUND]) > CROWD:
                await asyncio.sleep(begun + GATHER - loop.time())

    async def _commit(self, batch: Batch) -> None:
        """A full disk stops everything here, and nothing is lost: who waits for an answer goes on waiting, runners
        keep their events, and all goes on when there is room again."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(self._thread, self._store.commit, batch)
            except asyncio.CancelledError:
                self._thread.shutdown()  # the store is closed next, and must not be under a thread that writes
                raise
            except sqlite3.OperationalError as error:
                if self.problem is None:
                    log.error("the database cannot be written: %s", error)
                self.problem = f"the database cannot be written: {error}"
                await asyncio.sleep(RETRY)
            else:
                self.problem = None
                return

    def _batch(self, item: _Item) -> tuple[list[s.Effect], list[asyncio.Future[None]]]:
        """The first item and all that wait behind it."""
        effects: list[s.Effect] = []
        waiters: list[asyncio.Future[None]] = []
        while True:
            stimulus, waiter = item
            if stimulus is not None:
                effects += self.machine.handle(stimulus)
            if waiter is not None:
                waiters.append(waiter)
            if self._inbox.empty():
                break
            item = self._inbox.get_nowait()
        for stimulus in self.plan():
            effects += self.machine.handle(stimulus)
        return effects, waiters

    def _describe(self, changed: Changed) -> Batch:
        machine, seq = self.machine, self.seq
        batch = Batch(settings=self._settings)
        self._settings = {}
        for uid in changed.pods:
            seq += 1
            pod = machine.pods.get(uid)
            batch.pods[uid] = (seq, pod)
            if pod is None:
                batch.gone.append((seq, uid, changed.owners[uid]))
        for uid in changed.bundles:
            bundle = machine.bundles.get(uid)
            batch.bundles[uid] = None if bundle is None else bundle.document
        for nonce in changed.allocations:
            batch.allocations[nonce] = machine.allocations.get(nonce)
        batch.usage = self.ledger.charge(changed)
        self.timings.note(changed.pods, self.clock())
        batch.claims = {key: machine.claims.get(key) for key in changed.claims}
        return batch

    # ---- watchers ------------------------------------------------------------------------------------------------

    def _publish(self, batch: Batch) -> None:
        for uid, (seq, pod) in batch.pods.items():
            self.seq = max(self.seq, seq)
            self._order.pop(uid, None)
            if pod is not None:
                self._order[uid] = seq
        self._gone.extend(batch.gone)
        _tell_log([pod for _, pod in batch.pods.values() if pod is not None and pod.stage is Stage.ENDED])
        news, self._news = self._news, asyncio.Event()
        news.set()

    def changes(self, after: int) -> list[tuple[int, str, str | None]]:
        """(seq, uid, owner if it is gone) of all that changed after `after`, oldest first."""
        found: list[tuple[int, str, str | None]] = []
        for uid in reversed(self._order):
            seq = self._order[uid]
            if seq <= after:
                break
            found.append((seq, uid, None))
        for seq, uid, owner in reversed(self._gone):
            if seq <= after:
                break
            found.append((seq, uid, owner))
        return sorted(found)

    async def watch(self, after: int | None, heartbeat: float) -> AsyncIterator[list[tuple[int, str, str | None]]]:
        """Batches of changes for ever; an empty one at least every `heartbeat` seconds. Raises EventsGone."""
        position = self.seq if after is None else after
        if position > self.seq or (len(self._gone) == TOMBSTONES and position < self._gone[0][0] - 1):
            raise EventsGone
        while True:
            news = self._news
            changes = self.changes(position)
            if changes:
                position = changes[-1][0]
                yield changes
                continue
            try:
                async with asyncio.timeout(heartbeat):
                    await news.wait()
            except TimeoutError:
                yield []


def _tell_log(ended: Sequence[PodRecord]) -> None:
    """Some in a line: a line costs more than what it says."""
    for begin in range(0, len(ended), LINE):
        log.info("ended: pods %s", ", ".join(map(_ending, ended[begin : begin + LINE])))


def _ending(pod: PodRecord) -> str:
    words = (pod.uid, f"attempt {pod.attempt}", pod.status.get("phase"), pod.status.get("reason"))
    return " ".join(filter(None, words))


def _readable(documents: Mapping[str, Mapping[str, object]]) -> Iterable[tuple[str, Bundle]]:
    for uid, document in documents.items():
        try:
            yield uid, parse_bundle(document)
        except Invalid as error:  # written by another version with other rules: the pod stays visible in the log
            log.error("pod %s: its stored bundle is not understood any more: %s", uid, error)
