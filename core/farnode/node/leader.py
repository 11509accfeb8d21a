"""Which of several processes with the same configuration acts: a Lease, as client-go's leader election keeps it.

The one that holds it renews it every `RENEW` seconds; who has seen it unchanged for `DURATION` seconds by its own clock
takes it over. Clocks are not compared between hosts. The holder gives up before that time, when it cannot renew.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from farnode.errors import FarnodeError, NotFound, Permanent, Transient
from farnode.node.kube.api import KubeApi
from farnode.node.kube.failures import Conflict

log = logging.getLogger(__name__)

Json = dict[str, Any]
DURATION, RENEW, DEADLINE = 10.0, 2.0, 9.0
"""Seconds. A holder that could not renew for DEADLINE has stopped by then."""


class Leader:
    """`clock` gives seconds since the epoch, `elapsed` seconds since whenever, which no clock correction moves."""

    def __init__(
        self,
        api: KubeApi,
        namespace: str,
        name: str,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = f"{socket.gethostname()}_{uuid.uuid4()}"
        self._api = api
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._namespace = namespace
        self._clock = clock
        self._elapsed = elapsed
        self._seen: tuple[str, float] = ("", 0.0)
        self._held: Json | None = None
        self._renewed = 0.0
        """When the renewal that succeeded last was begun: others count from no earlier time."""

    async def acquire(self) -> None:
        """Return when this process holds the Lease."""
        while not await self._tried(RENEW * 2):
            left = self._seen[1] + DURATION - self._elapsed()
            await asyncio.sleep(left if 0 < left < RENEW else RENEW)
        log.info("%s leads", self.identity)

    async def hold(self) -> None:
        """Renew it for ever; Permanent when it is lost: whatever acts must stop then."""
        while True:
            await asyncio.sleep(RENEW)
            until = self._renewed + DEADLINE
            if await self._tried(min(RENEW * 2, until - self._elapsed())):
                continue
            if self._held is None or self._elapsed() + RENEW >= until:
                raise Permanent("another process leads now, or the API server could not be reached for too long")

    def check(self) -> None:
        """Transient when another process may lead by now: one that was frozen, with its host or in a debugger, goes on
        where it was before it can notice."""
        if self._elapsed() - self._renewed > DEADLINE:
            raise Transient("the Lease of this process has run out")

    async def release(self) -> None:
        """So that the next need not wait."""
        try:
            async with asyncio.timeout(RENEW):
                await self._release()
        except (FarnodeError, TimeoutError) as error:
            log.info("the Lease was not given back: %s", error or "no answer")

    async def _release(self) -> None:
        """What is held is asked for, as a renewal may have been cut short."""
        lease = await self._api.get(f"{self._leases}/{self._name}")
        if lease["spec"].get("holderIdentity") == self.identity:
            spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
            await self._api.replace(f"{self._leases}/{self._name}", {**lease, "spec": spec})

    async def _tried(self, seconds: float) -> bool:
        """Whether it is ours now."""
        began = self._elapsed()
        try:
            async with asyncio.timeout(seconds):
                ours = await self._try()
            self._renewed = began if ours else self._renewed
            return ours
        except Conflict:
            self._held = None
        except (FarnodeError, TimeoutError) as error:
            log.warning("the Lease %s/%s: %s", self._namespace, self._name, error or "no answer")
        return False

    async def _try(self) -> bool:
        try:
            lease = await self._api.get(f"{self._leases}/{self._name}")
        except NotFound:
            metadata = {"name": self._name, "namespace": self._namespace}
            self._held = await self._api.create(self._leases, self._lease(metadata, 0))
            return True
        spec = lease.get("spec", {})
        holder, turns = spec.get("holderIdentity") or "", spec.get("leaseTransitions") or 0
        if holder and holder != self.identity and not self._expired(lease):
            self._held = None
            return False
        turns += holder != self.identity
        self._held = await self._api.replace(f"{self._leases}/{self._name}", self._lease(lease["metadata"], turns))
        return True

    def _expired(self, lease: Json) -> bool:
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, self._elapsed())
        return self._elapsed() - self._seen[1] > (lease["spec"].get("leaseDurationSeconds") or DURATION)

    def _lease(self, metadata: Json, turns: int) -> Json:
        now = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = (self._held or {}).get("spec", {})
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(DURATION),
            "acquireTime": before.get("acquireTime", now),
            "renewTime": now,
            "leaseTransitions": turns,
        }
        kept = {key: metadata[key] for key in ("name", "namespace", "resourceVersion", "uid") if key in metadata}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": kept, "spec": spec}
