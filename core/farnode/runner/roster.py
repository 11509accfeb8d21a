"""Every attempt this runner knows: started at most once, ended once, remembered until the gateway says forget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Callable

from ..wire.messages import EventFrame, Held, Inputs, PodOrder, Stop
from .limits import ports
from .limits.devices import Devices
from .limits.ports import Claims, PortsTaken
from .news import News
from .pods.attempt import Host
from .pods.pod import Pod
from .pods.sharing import gpus_needed

Key = tuple[str, int]
"""UID and number of an attempt."""
SLICE = 0.005
"""Seconds of starts in one turn of the loop: a large batch keeps neither signals nor heartbeats waiting."""


class Roster:
    def __init__(
        self,
        host: Host,
        devices: Devices,
        record: Callable[[Sequence[EventFrame]], None],
        pending: Callable[[], bool] = lambda: False,
    ) -> None:
        """`record` and `pending` are for its `news`."""
        self.draining: str = ""
        """Words why no attempt is started any more; empty while they are."""
        self._host = host
        self._devices = devices
        self._record = record
        self.news = News(record, pending)
        self._pods: dict[str, dict[int, Pod]] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._removals: set[asyncio.Task[None]] = set()
        self._claims: dict[Pod, Claims] = {}
        self._starting = asyncio.Lock()
        self._slice_ends = 0.0
        self._strays = False
        """Whether there may be processes that nobody knows whose they are."""

    @property
    def idle(self) -> bool:
        return not self._tasks

    @property
    def alive(self) -> list[Pod]:
        return [self._pods[uid][attempt] for uid, attempt in self._tasks]

    def held(self) -> list[Held]:
        return [pod.held() for attempts in self._pods.values() for pod in attempts.values()]

    def get(self, uid: str, attempt: int) -> Pod | None:
        return self._pods.get(uid, {}).get(attempt)

    def start(self, order: PodOrder) -> None:
        """A known attempt is announced again; a newer one waits for the end of the older, which is killed. KeyError,
        TypeError, ValueError or AttributeError for an order that is none."""
        known = self.get(order["uid"], order["attempt"])
        if known is not None:
            self._announce(known)
            return
        pod = Pod(order, self._host, [], self._announce)
        attempts = self._pods.setdefault(order["uid"], {})
        attempts[order["attempt"]] = pod
        older = [other for attempt, other in attempts.items() if attempt < order["attempt"]]
        if max(attempts) > order["attempt"]:
            pod.fail("Superseded", "this runner holds a newer attempt of the pod")
        elif self.draining:
            pod.fail("AllocationEnding", self.draining)
        self._tasks[pod.key] = asyncio.get_running_loop().create_task(self._run(pod, older))

    def refuse(self, order: PodOrder, words: str) -> None:
        """It cannot be started for what it says. KeyError or TypeError where it does not say which attempt it is."""
        message: Stop = {"uid": order["uid"], "attempt": order["attempt"], "reason": "RunnerError", "message": words}
        self._record([self._unknown(message)])

    def stop(self, message: Stop) -> None:
        pod = self.get(message["uid"], message["attempt"])
        if pod is None:
            self._record([self._unknown(message)])
        else:
            pod.stop(message.get("grace"), message.get("reason", ""), message.get("message", ""))
            if pod.ended:
                self._announce(pod)

    def update_inputs(self, message: Inputs) -> None:
        """An attempt that is not known, or has ended, needs none."""
        pod = self.get(message["uid"], message["attempt"])
        if pod is not None:
            pod.update_inputs(message)

    def forget(self, uid: str, attempt: int) -> None:
        attempts = self._pods.get(uid, {})
        if (uid, attempt) not in self._tasks:
            attempts.pop(attempt, None)
        if not attempts:
            self._pods.pop(uid, None)

    def end(self, longest_grace: float, reason: str, message: str) -> None:
        """End every attempt within its own grace, or `longest_grace` seconds where that is less; start no more."""
        self.draining = message
        for uid, attempt in self._tasks:
            self._pods[uid][attempt].stop_within(longest_grace, reason, message)

    async def empty(self) -> None:
        """Return when no attempt is alive and nothing of them is left on the node."""
        while self._tasks or self._removals:
            await asyncio.wait({*self._tasks.values(), *self._removals})
        self.news.tell_all()

    async def _run(self, pod: Pod, older: Sequence[Pod]) -> None:
        evictions = self._host.resources.evictions
        try:
            for other in older:
                await self._supersede(other)
            await self._turn()
            self._admit(pod)
            evictions.add(pod)
            await pod.run()
            self._strays = self._strays or not pod.clean
            if self._strays:
                self._strays = not await self._host.leftovers.clear_unmarked(alone=lambda: len(self._tasks) == 1)
        finally:
            evictions.remove(pod)
            self._devices.give_back(pod.gpus)
            if pod in self._claims:
                self._claims.pop(pod).release()
            del self._tasks[pod.key]
            pod.end()
            if not pod.gone():
                self._remove(pod)

    async def _turn(self) -> None:
        async with self._starting:
            if time.monotonic() >= self._slice_ends:
                await asyncio.sleep(0)
                self._slice_ends = time.monotonic() + SLICE

    async def _supersede(self, pod: Pod) -> None:
        task = self._tasks.get(pod.key)
        if task is not None:
            pod.stop(0, "Superseded", "a newer attempt of the pod was started")
            await asyncio.wait({task})

    def _admit(self, pod: Pod) -> None:
        try:
            self._claims[pod] = Claims(pod.order.get("ports", ()))
            pod.gpus = self._devices.take(gpus_needed(pod.order))
        except PortsTaken as error:
            pod.fail(ports.REASON, str(error))
        except (OSError, ValueError) as error:
            pod.fail("UnexpectedAdmissionError", str(error))

    def _remove(self, pod: Pod) -> None:
        removal = asyncio.get_running_loop().create_task(pod.remove())
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)

    def _announce(self, pod: Pod) -> None:
        self.news.add(pod, urgent=pod.ended or len(self._tasks) <= 1)

    def _unknown(self, message: Stop) -> EventFrame:
        return {
            "uid": message["uid"],
            "attempt": message["attempt"],
            "at": self._host.clock.time(),
            "phase": "Failed",
            "reason": message.get("reason", ""),
            "message": message.get("message", ""),
            "init_containers": [],
            "containers": [],
            "notes": [],
            "ended": True,
        }
