"""Does what the machine decided: talks to the runners, the registry and the spool, and has `batch` talk to the batch
system.

Everything here may fail, hang or be repeated; what it learns goes back to the machine as stimuli. Nothing waits inside
`perform`: each slow thing is a task, and each is bounded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

from farnode.gateway import stimuli as s
from farnode.gateway.batch import BatchSystem, Cadence
from farnode.gateway.commands import command, encoded, inputs, start
from farnode.gateway.empty_seats import EmptySeats
from farnode.gateway.engine import Engine
from farnode.gateway.gangs import peers
from farnode.gateway.images import ImageStore
from farnode.gateway.pulls import Pulls
from farnode.gateway.records import Life, PodRecord, Stage
from farnode.gateway.runners import Runners
from farnode.gateway.spool import Spool
from farnode.gateway.storage import Keeper
from farnode.model.offer import Offer
from farnode.model.order import order
from farnode.providers.port import AllocationProvider
from farnode.wire.messages import Limits, PodOrder

log = logging.getLogger(__name__)

ORDER_BYTES = 24 * 1024 * 1024
"""Of one pod; below what a frame can carry."""
START_BYTES = 8 * 1024 * 1024


class Dispatcher:
    def __init__(
        self,
        engine: Engine,
        provider: AllocationProvider,
        runners: Runners,
        spool: Spool,
        images: ImageStore,
        connect: Callable[[str], str],
        cadence: Cadence,
        node_name: str,
        limits: Limits,
        storage: Keeper,
    ) -> None:
        self._engine = engine
        self._machine = engine.machine
        self._runners = runners
        self._spool = spool
        self._images = images
        self._pulls = Pulls(engine, images)
        self._connect = connect
        self._cadence = cadence
        self._node_name = node_name
        self._limits = limits
        self._storage = storage
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[tuple[str, str]] = set()
        self._empty_seats = EmptySeats(engine, runners, spool)
        self._batch = BatchSystem(engine, provider, runners, cadence, self._prepare)

    @property
    def offers(self) -> Sequence[Offer]:
        return self._batch.offers

    @property
    def problem(self) -> str | None:
        return self._batch.problem

    # ---- effects -------------------------------------------------------------------------------------------------

    def perform(self, effects: Iterable[s.Effect]) -> None:
        starts: dict[str, list[Any]] = {}
        acks: dict[str, s.AckEvents] = {}
        for effect in effects:
            match effect:
                case s.StartPod(nonce, uid):
                    starts.setdefault(nonce, []).append(uid)
                    continue
                case s.AckEvents(nonce):  # the last one says it all
                    acks[nonce] = effect
                    continue
                case s.StopPod(nonce) | s.DrainRunner(nonce) if nonce in starts:
                    self._start(nonce, starts.pop(nonce))
            self._do(effect)
        for nonce, uids in starts.items():
            self._start(nonce, uids)
        for ack in acks.values():
            self._do(ack)

    def _do(self, effect: s.Effect) -> None:
        match effect:
            case s.StopPod() | s.ForgetPod() | s.AckEvents() | s.DrainRunner():
                self._runners.send(effect.nonce, command(effect))
            case s.UpdateInputs(nonce, uid):
                self._update_inputs(nonce, uid)
            case s.ReclaimClaim(key):
                self._once("claim", str(key), self._storage.reclaim(key))
            case s.FetchImages(uid):
                self._once("images", uid, self._fetch(uid))
            case s.SubmitAllocation(nonce):
                self._batch.submit(nonce)
            case s.CancelAllocation(nonce):
                self._batch.cancel(nonce)
            case s.ReadSpool(nonce):
                self._once("spool", nonce, self._read_spool(nonce))
            case s.RemovePod(uid, nonce):
                if nonce is not None:
                    self._once("remove", uid, asyncio.to_thread(self._spool.remove_pod, nonce, uid))
            case s.RemoveAllocation(nonce):
                self._once("remove", nonce, asyncio.to_thread(self._spool.remove, nonce))

    def _start(self, nonce: str, uids: Sequence[str]) -> None:
        """Orders go in messages of some `START_BYTES`; one that cannot be made or sent ends its pod alone."""
        waiting: list[bytes] = []
        names: list[str] = []
        size = 0
        for uid in uids:
            pod = self._machine.pods.get(uid)
            if pod is None or pod.nonce != nonce:
                continue
            try:
                made = encoded(self._order(pod))
            except Exception as error:
                log.exception("pod %s: its order cannot be made", uid)
                self._fail(uid, f"its order cannot be made: {error}")
                continue
            if len(made) > ORDER_BYTES:
                self._fail(uid, f"with its inputs it is {len(made)} bytes; a runner takes {ORDER_BYTES}")
                continue
            if waiting and size + len(made) > START_BYTES:
                self._runners.post(nonce, start(waiting))
                waiting, size = [], 0
            waiting.append(made)
            names.append(f"{uid} attempt {pod.attempt}")
            size += len(made)
        if waiting:
            self._runners.post(nonce, start(waiting))
            log.info("allocation %s: gets pods %s", nonce, ", ".join(names))

    def _update_inputs(self, nonce: str, uid: str) -> None:
        pod = self._machine.pods.get(uid)
        if pod is None or pod.nonce != nonce:
            return
        try:
            message = encoded(inputs(self._order(pod)))
        except Exception:
            log.exception("pod %s: its new inputs cannot be sent", uid)
            return
        if len(message) > ORDER_BYTES:
            log.error("pod %s: its new inputs are %d bytes; a runner takes %d", uid, len(message), ORDER_BYTES)
            return
        self._runners.post(nonce, message)

    def _order(self, pod: PodRecord) -> PodOrder:
        made = order(
            self._machine.bundles[pod.uid],
            owner=pod.owner,
            attempt=pod.attempt,
            images={image.reference: image for image in pod.images},
            node_name=self._node_name,
            runtime=pod.runtime,
            restarts=pod.restarts,
            claims=self._storage.directories(pod),
            peers=peers(self._machine, pod),
        )
        self._storage.confine(made, self._machine.bundles[pod.uid])
        made["limits"] = self._limits
        made["ports"] = list(self._machine.demands[pod.uid].ports)
        made["inputs"] = pod.inputs
        return made

    def _fail(self, uid: str, words: str) -> None:
        self._once("fail", uid, self._engine.tell(s.Unsendable(self._engine.clock(), uid, words)))

    def _once(self, kind: str, key: str, work: Coroutine[Any, Any, None]) -> None:
        """Run as a task, unless the same is under way."""
        if (kind, key) in self._busy:
            work.close()
            return

        async def alone() -> None:
            try:
                await self._guard(work)
            finally:  # before the engine hears how it ended: what it then asks for is not the same
                self._busy.discard((kind, key))

        self._busy.add((kind, key))
        task = asyncio.create_task(alone())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:  # a fault in one task is that task's: the gateway goes on
            log.exception("a task failed")

    async def _fetch(self, uid: str) -> None:
        if await self._storage.prepare(uid):
            await self._pulls(uid)

    async def _read_spool(self, nonce: str) -> None:
        allocation = self._machine.allocations.get(nonce)
        if allocation is None or allocation.life is Life.ENDED:
            return
        if allocation.incarnation is not None:
            events = await asyncio.to_thread(self._spool.events, nonce, allocation.incarnation, allocation.acked)
            if events:
                stimulus = s.RunnerEvents(self._engine.clock(), nonce, allocation.incarnation, events)
                await self._engine.tell(stimulus)
        words = "" if allocation.incarnation else await asyncio.to_thread(self._spool.words, nonce)
        await self._engine.ask(s.SpoolRead(self._engine.clock(), nonce, words))
        self._runners.send(nonce, {"type": "refused", "reason": "this allocation is over", "final": True})

    # ---- what goes on all the time -------------------------------------------------------------------------------

    def readdress(self) -> None:
        """Tell the runners of every live allocation where this gateway is now."""
        self._prepare(nonce for nonce, record in self._machine.allocations.items() if record.life is not Life.ENDED)
        for nonce in self._spool.strangers(set(self._machine.allocations)):
            self._spool.remove(nonce)

    def _prepare(self, nonces: Iterable[str]) -> None:
        for nonce in nonces:
            self._spool.prepare(nonce, self._connect(nonce))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._batch.run())
            group.create_task(self._empty_seats.run())
            group.create_task(self._tick_loop())
            group.create_task(self._collect_loop())

    async def _collect_loop(self) -> None:
        while True:
            await asyncio.sleep(self._cadence.collect)
            await self._guard(self._collect())

    async def _collect(self) -> None:
        """Bring images and ended pods within their quotas, the oldest first."""
        pods = list(self._machine.pods.values())
        await self._images.collect({image.path for pod in pods if pod.stage is not Stage.ENDED for image in pod.images})
        used = await asyncio.to_thread(self._spool.used)
        ended = [pod for pod in pods if pod.stage is Stage.ENDED and pod.nonce is not None]
        for pod in sorted(ended, key=lambda pod: pod.ended or 0.0):
            if used <= self._cadence.spool_quota:
                break
            used -= await asyncio.to_thread(self._spool.used_by, str(pod.nonce), pod.uid)
            log.warning("the spool is over its quota: removing ended pod %s", pod.uid)
            await self._engine.ask(s.DeleteAsked(self._engine.clock(), pod.uid, purge=True))

    async def _tick_loop(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            await self._engine.tell(s.Tick(self._engine.clock()))
