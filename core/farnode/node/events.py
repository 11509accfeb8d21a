"""The Events of pods and nodes, written so that telling one twice does no harm, not even by another process.

Source: Kubernetes, "Event" in the API reference, and what client-go makes of Events: those that differ in nothing but
their time are one, which counts; who tells too much is not heard. An Event's name follows from what it says, so that
one that is written already is found, and its time shows whether this is news.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from farnode.client.patience import Patience
from farnode.errors import FarnodeError, NotFound
from farnode.model.times import rfc3339
from farnode.node.bucket import Bucket
from farnode.node.kube.api import KubeApi
from farnode.node.kube.failures import Conflict
from farnode.node.pods.event import Event, document, event_of

Json = dict[str, Any]

RATE, BURST = 20.0, 100
"""Of Events of one kind, Normal or Warning, that a process writes: in a second, and at once."""
WAITING = 1000
"""Of one kind, that wait to be written."""
KNOWN = 4096
"""That are remembered, as many as client-go remembers."""
PATIENCE = Patience(total=60.0, first=0.1, most=15.0)
"""For one Event: others wait behind it, and an API server may fail at one for ever (an admission webhook does)."""
OLDEST = 3600.0
"""Seconds: API servers keep Events no longer than an hour, so older news is none."""
_log = logging.getLogger(__name__)


class Events:
    """`component` says who tells them. `dropped` counts those that were too many, or that nobody took."""

    def __init__(self, api: KubeApi, component: str, clock: Callable[[], float]) -> None:
        self.dropped = 0
        self._api = api
        self._component = component
        self._clock = clock
        self._buckets = {kind: Bucket(RATE, BURST, clock) for kind in ("Warning", "Normal")}
        self._waiting: dict[str, OrderedDict[str, Event]] = {kind: OrderedDict() for kind in self._buckets}
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._news = asyncio.Event()

    def tell(self, about: Json, kind: str, reason: str, message: str, at: float) -> None:
        """Of a Pod or Node, in its JSON; `kind` is Normal or Warning, `at` seconds since the epoch. It is written when
        there is time for it, Warnings first."""
        kind = kind if kind in self._waiting else "Normal"
        made = event_of(about, kind, reason, message, at)
        waiting = self._waiting[kind]
        if before := waiting.get(made.name):
            if at > before.last:
                waiting[made.name] = replace(before, last=at, count=before.count + 1)
        elif self._is_news(made):
            self._add(made, waiting)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._news.wait()
            event = self._next()
            if event is None:
                self._news.clear()
                continue
            try:
                await PATIENCE.keep_trying(partial(self._write, event))
            except FarnodeError as error:
                usual = "is being terminated" in str(error)  # the namespace, before its pods have ended
                level = logging.DEBUG if usual else logging.INFO
                _log.log(level, "event %s of %s: %s", event.reason, event.about.get("name"), error)
                self.dropped += 1

    def _is_news(self, event: Event) -> bool:
        known = self._known.get(event.name)
        return event.last > self._clock() - OLDEST and (known is None or event.last > known[1])

    def _add(self, event: Event, waiting: OrderedDict[str, Event]) -> None:
        if len(waiting) >= WAITING or not self._buckets[event.kind].take():
            self.dropped += 1
            return
        waiting[event.name] = event
        self._news.set()

    def _next(self) -> Event | None:
        for waiting in self._waiting.values():
            if waiting:
                return waiting.popitem(last=False)[1]
        return None

    async def _write(self, event: Event) -> None:
        known = self._known.get(event.name)
        if known is None:
            known = await self._create(event)
        if known is not None and event.last > known[1]:
            await self._count(event, known[0])

    async def _create(self, event: Event) -> tuple[int, float] | None:
        """None when it was written; else the count and the last time of the one that is there."""
        try:
            await self._api.create(_collection(event), document(event, self._component))
        except Conflict as error:
            if error.reason != "AlreadyExists":
                raise
            there = await self._api.get(_path(event))
            self._remember(event.name, there.get("count") or 1, _seconds(there.get("lastTimestamp")))
            return self._known[event.name]
        self._remember(event.name, event.count, event.last)
        return None

    async def _count(self, event: Event, before: int) -> None:
        count = before + event.count
        try:
            await self._api.patch(_path(event), {"count": count, "lastTimestamp": rfc3339(event.last)})
        except NotFound:
            self._known.pop(event.name, None)
            await self._create(event)
        else:
            self._remember(event.name, count, event.last)

    def _remember(self, name: str, count: int, last: float) -> None:
        self._known[name] = count, last
        self._known.move_to_end(name)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)


def _collection(event: Event) -> str:
    return f"/api/v1/namespaces/{quote(event.namespace, safe='')}/events"


def _path(event: Event) -> str:
    return f"{_collection(event)}/{quote(event.name, safe='')}"


def _seconds(time: str | None) -> float:
    """The end of that second: Events have whole ones, and what is told of the same second was told."""
    return datetime.fromisoformat(time).timestamp() + 0.999 if time else 0.0
