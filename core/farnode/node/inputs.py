"""What pods refer to, from the API server: found, watched, and found again when it is different."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from farnode.errors import Denied, Invalid, Permanent
from farnode.node.alarms import Alarms
from farnode.node.kube.api import KubeApi
from farnode.node.objects import Key, Objects
from farnode.node.pods.bundle import Found
from farnode.node.pods.missing import Missing, check
from farnode.node.pods.references import CLAIMS, CONFIG_MAPS, SECRETS, TRUST_BUNDLES, TrustUse, Use, Wanted, references
from farnode.node.tokens import Tokens

__all__ = ["InputSource", "Missing"]

Json = dict[str, Any]

AGAIN, AGAIN_MOST = 1.0, 30.0
"""Seconds after which a pod that misses something is to be tried again, at first and at most."""


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

    async def collect(self, pod: Json) -> Found:
        """All that the pod refers to, as it is now; from then on the pod hears of changes. Missing when it cannot have
        all of it yet. While the API server is away it waits."""
        uid = pod["metadata"]["uid"]
        try:
            found = await self._collect(pod, references(pod))
        except Missing:
            delay = self._delays.get(uid, AGAIN)
            self._delays[uid] = min(2 * delay, AGAIN_MOST)
            self._alarms.set(uid, self._clock() + delay)
            raise
        self._delays.pop(uid, None)
        if (until := self._tokens.until(uid)) is not None:
            self._alarms.set(uid, until)
        return found

    def release(self, uid: str) -> None:
        """The pod has ended, or is gone."""
        self._objects.release(uid)
        self._tokens.release(uid)
        self._alarms.clear(uid)
        self._delays.pop(uid, None)

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
        tokens = [await self._tokens.get(pod, use) for use in wanted.tokens]
        maps, secrets, claims = (tuple(found[resource].values()) for resource in (CONFIG_MAPS, SECRETS, CLAIMS))
        return Found(maps, secrets, claims, tuple(trust.values()), tuple(tokens))

    async def _object(self, pod: Json, use: Use) -> Json | None:
        namespace = pod["metadata"]["namespace"]
        try:
            value = await self._get(Key(use.resource, namespace, use.name), pod, use.volume)
        except Missing:
            if use.pull:
                return None  # an image may be there already, or public
            raise
        check(use, value, namespace)
        return value

    async def _trust(self, pod: Json, use: TrustUse) -> list[Json]:
        value = await self._get(Key(TRUST_BUNDLES, "", use.name, use.signer), pod, use.volume)
        found: list[Json] = [] if value is None else value.get("items", [value])
        if not found and not use.optional:
            wanted = f'clustertrustbundle "{use.name}"' if use.name else f'clustertrustbundles of signer "{use.signer}"'
            raise Missing(f"{wanted} not found", use.volume)
        return found

    async def _get(self, key: Key, pod: Json, volume: str) -> Json | None:
        """Missing where the API server will not say; the Node authorizer hears of a pod a moment after its node."""
        try:
            return await self._objects.get(key, pod["metadata"]["uid"])
        except (Denied, Invalid, Permanent) as error:
            raise Missing(str(error), volume) from error
