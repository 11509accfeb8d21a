"""What pods refer to, from the API server: found, watched, and found again when it is different."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from farnode.errors import Denied, Invalid, NotFound, Permanent
from farnode.node.alarms import Alarms
from farnode.node.kube.api import KubeApi
from farnode.node.objects import Key, Objects
from farnode.node.pods.bundle import Found
from farnode.node.pods.missing import Missing, check
from farnode.node.pods.references import (
    CLAIMS,
    CONFIG_MAPS,
    SECRETS,
    TRUST_BUNDLES,
    TokenUse,
    TrustUse,
    Use,
    Wanted,
    references,
)
from farnode.node.tokens import Tokens

__all__ = ["InputSource", "Missing"]

Json = dict[str, Any]
T = TypeVar("T")

AGAIN, AGAIN_MOST = 1.0, 30.0
"""Seconds after which a pod that misses something is to be tried again, at first and at most."""
PAUSES = (0.05, 0.15, 0.5)
"""Seconds between tries of what is denied: the Node authorizer hears of a pod as late as its node, or later."""


class InputSource:
    """`changed` is called with the uid of each pod whose inputs are different now, or which may have now what it
    missed: `collect` gives them. `clock` gives seconds since the epoch."""

    def __init__(self, api: KubeApi, changed: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._changed = changed
        self._clock = clock
        self._objects = Objects(api, changed, clock)
        self._tokens = Tokens(api, clock)
        self._alarms = Alarms()
        self._delays: dict[str, float] = {}
        self._complete: set[str] = set()

    async def collect(self, pod: Json) -> Found:
        """All that the pod refers to, as it is now; from then on the pod hears of changes. Missing when it cannot have
        all of it yet. What it had and was deleted since stays as it was, as it does at the kubelet. While the API
        server is away it waits."""
        uid = pod["metadata"]["uid"]
        try:
            found = await self._collect(pod, references(pod))
        except Missing:
            delay = self._delays.get(uid, AGAIN)
            self._delays[uid] = min(2 * delay, AGAIN_MOST)
            self._alarms.set(uid, self._clock() + delay)
            raise
        self._delays.pop(uid, None)
        self._complete.add(uid)
        if (until := self._tokens.until(uid)) is not None:
            self._alarms.set(uid, until)
        return found

    def release(self, uid: str) -> None:
        """The pod has ended, or is gone."""
        self._objects.release(uid)
        self._tokens.release(uid)
        self._alarms.clear(uid)
        self._delays.pop(uid, None)
        self._complete.discard(uid)

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._objects.run())
            while True:
                for uid in self._alarms.due(self._clock()):
                    self._changed(uid)
                await asyncio.sleep(1.0)

    async def _collect(self, pod: Json, wanted: Wanted) -> Found:
        found: dict[str, dict[str, Json]] = {CONFIG_MAPS: {}, SECRETS: {}, CLAIMS: {}}
        for use in wanted.uses:
            if (value := await self._object(pod, use)) is not None:
                found[use.resource][use.name] = value
        trust: dict[str, Json] = {}
        for one in wanted.trust_bundles:
            trust |= {item["metadata"]["name"]: item for item in await self._trust(pod, one)}
        tokens = [await self._token(pod, use) for use in wanted.tokens]
        maps, secrets, claims = (tuple(found[resource].values()) for resource in (CONFIG_MAPS, SECRETS, CLAIMS))
        return Found(maps, secrets, claims, tuple(trust.values()), tuple(tokens))

    async def _object(self, pod: Json, use: Use) -> Json | None:
        namespace, uid = pod["metadata"]["namespace"], pod["metadata"]["uid"]
        key = Key(use.resource, namespace, use.name)
        try:
            value = await _granted(partial(self._objects.get, key, uid), use.volume)
        except Missing:
            if use.pull:
                return None  # an image may be there already, or public
            raise
        if value is None and uid in self._complete:
            value = self._objects.last(key)
        check(use, value, namespace)
        return value

    async def _token(self, pod: Json, use: TokenUse) -> Json:
        return await _granted(partial(self._tokens.get, pod, use), use.volume, "failed to fetch token: ")

    async def _trust(self, pod: Json, use: TrustUse) -> list[Json]:
        key = Key(TRUST_BUNDLES, "", use.name, use.signer)
        value = await _granted(partial(self._objects.get, key, pod["metadata"]["uid"]), use.volume)
        found: list[Json] = [] if value is None else value.get("items", [value])
        if not found and not use.optional:
            wanted = f'clustertrustbundle "{use.name}"' if use.name else f'clustertrustbundles of signer "{use.signer}"'
            raise Missing(f"{wanted} not found", use.volume)
        return found


async def _granted(call: Callable[[], Awaitable[T]], volume: str, words: str = "") -> T:
    """Missing where the API server does not give what it has."""
    try:
        for pause in PAUSES:
            with suppress(Denied):
                return await call()
            await asyncio.sleep(pause)
        return await call()
    except (NotFound, Denied, Invalid, Permanent) as error:
        raise Missing(f"{words}{error}", volume) from error
