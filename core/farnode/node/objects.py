"""The objects that pods refer to, kept while a pod refers to them.

A pod gets what there is when it comes, as from the kubelet: what was read before is read again for it, unless a watch
tells of changes. Most pods are short and many refer to something of their own, so that an object is watched only when
several pods refer to it, or one for some seconds, or when it is missing. A watch holds a connection of its own: there
are at most WATCHES, and what there is none for is read again in turn. Each names one object, for that is all that the
Node authorizer allows; claims and trust bundles may not be watched so, nor need they be.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from farnode.errors import FarnodeError, NotFound
from farnode.node.kube.api import KubeApi
from farnode.node.kube.watch import Gone, Listed, Put, reflect
from farnode.node.pods.bundle import lean
from farnode.node.pods.references import CLAIMS, CONFIG_MAPS, SECRETS, TRUST_BUNDLES

Json = dict[str, Any]

WATCHES = 200
WATCH_AFTER = 10.0
"""Seconds an object is in use by one pod before it is watched."""
READ_AGAIN, READS = 60.0, 10
"""Seconds after which an object without a watch is read again, and how many of them at most in a second."""
READING = 30.0
"""Seconds for one of these reads: others wait behind it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """Of one object, or of all trust bundles of a `signer`; a trust bundle is in no namespace."""

    resource: str
    namespace: str
    name: str
    signer: str = ""

    @property
    def collection(self) -> str:
        if self.resource == TRUST_BUNDLES:
            return f"/apis/certificates.k8s.io/v1beta1/{self.resource}"
        return f"/api/v1/namespaces/{quote(self.namespace, safe='')}/{self.resource}"

    @property
    def path(self) -> str:
        return f"{self.collection}/{quote(self.name, safe='')}" if self.name else self.collection

    @property
    def query(self) -> dict[str, str]:
        return {"fieldSelector": f"spec.signerName={self.signer}"} if self.signer else {}


@dataclass(slots=True, eq=False)
class _Held:
    """`value` None: there is no such object, or none any more, and `last` is what it was. `read`: when that was known
    last, in seconds since the epoch. `turn`: the number of the read that said so. `heard`: a watch tells of every
    change."""

    key: Key
    since: float
    users: set[str] = field(default_factory=set)
    value: Json | None = field(default=None, repr=False)
    last: Json | None = field(default=None, repr=False)
    read: float | None = None
    turn: int = 0
    heard: bool = False
    watch: asyncio.Task[None] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def settled(self) -> bool:
        """Whether it will never change."""
        return self.value is not None and (self.key.resource == CLAIMS or self.value.get("immutable") is True)

    @property
    def in_demand(self) -> bool:
        """Whether it is worth a watch already."""
        return self.read is not None and (self.value is None or len(self.users) > 1)


class Objects:
    """`changed` is called with each uid that uses an object that is different now; `most`: watches at a time."""

    def __init__(
        self, api: KubeApi, changed: Callable[[str], None], clock: Callable[[], float], most: int = WATCHES
    ) -> None:
        self._api = api
        self._changed = changed
        self._clock = clock
        self._most = most
        self._held: dict[Key, _Held] = {}
        self._used: dict[str, set[Key]] = {}
        self._young: OrderedDict[_Held, None] = OrderedDict()
        self._unwatched: OrderedDict[_Held, None] = OrderedDict()
        self._ripe: OrderedDict[_Held, None] = OrderedDict()
        self._watches = 0
        self._turn = 0
        self._demand = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def watches(self) -> int:
        return self._watches

    async def get(self, key: Key, uid: str) -> Json | None:
        """As `lean` leaves it, of a signer a list (`items`) of such; None when there is none. Denied when that may not
        be known."""
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = _Held(key, self._clock())
            self._young[held] = None
        held.users.add(uid)
        self._used.setdefault(uid, set()).add(key)
        called = self._turn
        async with held.lock:
            if not held.heard and not held.settled and held.turn <= called:
                await self._read(held)
        if held.in_demand and held in self._young:
            del self._young[held]
            self._ripe[held] = None
            self._demand.set()
        return held.value

    def last(self, key: Key) -> Json | None:
        """What it was before it was deleted."""
        held = self._held.get(key)
        return None if held is None else held.last

    def release(self, uid: str) -> None:
        """The pod needs nothing any more."""
        for key in self._used.pop(uid, ()):
            held = self._held[key]
            held.users.discard(uid)
            if not held.users:
                self._drop(held)

    def _drop(self, held: _Held) -> None:
        del self._held[held.key]
        for group in (self._young, self._unwatched, self._ripe):
            group.pop(held, None)
        if held.watch is not None:
            held.watch.cancel()

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._begin_watches(tasks))
            while True:
                await self._read_some(tasks)
                await asyncio.sleep(1.0)

    async def _begin_watches(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            old = self._clock() - WATCH_AFTER
            while self._young and next(iter(self._young)).since <= old:
                self._ripe[self._young.popitem(last=False)[0]] = None
            while self._ripe:
                self._watch(self._ripe.popitem(last=False)[0], tasks)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._demand.wait(), 1.0)
            self._demand.clear()

    def _watch(self, held: _Held, tasks: asyncio.TaskGroup) -> None:
        if held.settled:
            return
        if held.key.resource not in (CONFIG_MAPS, SECRETS) or self._watches >= self._most:
            self._unwatched[held] = None
            return
        self._watches += 1
        held.watch = tasks.create_task(self._follow(held))
        held.watch.add_done_callback(self._unwatch)

    def _unwatch(self, _: asyncio.Task[None]) -> None:
        self._watches -= 1

    async def _follow(self, held: _Held) -> None:
        query = {"fieldSelector": f"metadata.name={held.key.name}"}
        async with aclosing(reflect(self._api, held.key.collection, query)) as changes:
            async for change in changes:
                self._learn(held, _newest(change))
                held.heard = True
                if held.settled:
                    return

    async def _read_some(self, tasks: asyncio.TaskGroup) -> None:
        for _ in range(min(READS, len(self._unwatched))):
            held, _ = self._unwatched.popitem(last=False)
            if held.read is not None and held.read + READ_AGAIN > self._clock():
                self._unwatched[held] = None
                continue
            try:
                async with asyncio.timeout(READING), held.lock:
                    await self._read(held)
            except (FarnodeError, TimeoutError) as error:
                _log.warning("%s: %s", held.key.path, error or "the API server does not give it")
                held.read = self._clock()
            if held.users:
                self._watch(held, tasks)

    async def _read(self, held: _Held) -> None:
        key = held.key
        self._turn += 1
        turn = self._turn
        try:
            found = await self._api.keep_trying(lambda: self._api.get(key.path, key.query))
        except NotFound:
            self._learn(held, None)
        else:
            self._learn(held, found)
        held.turn = turn

    def _learn(self, held: _Held, found: Json | None) -> None:
        value = None if found is None or found.get("items") == [] else _lean(found)
        different = held.read is not None and value != held.value
        held.last = held.value or held.last
        held.value, held.read = value, self._clock()
        if different:
            for uid in list(held.users):
                self._changed(uid)


def _lean(found: Json) -> Json:
    return {"items": [lean(item) for item in found["items"]]} if "items" in found else lean(found)


def _newest(change: Listed | Put | Gone) -> Json | None:
    if isinstance(change, Listed):
        return next(iter(change.objects), None)
    return change.object if isinstance(change, Put) else None
