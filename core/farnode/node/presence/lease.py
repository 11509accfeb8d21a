"""The Lease by which the cluster knows that a node's process lives (Kubernetes, "Leases", node heartbeats)."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from farnode.client.patience import Patience, Trial
from farnode.errors import FarnodeError, NotFound, Transient
from farnode.node.kube.api import KubeApi, Patch
from farnode.node.kube.failures import Json

DURATION = 40
"""Seconds after which a Lease that was not renewed has run out, as a kubelet's."""
PERIOD = 10.0
"""Seconds between two renewals, as a kubelet's; also the longest that one may take."""
_PAUSES = Patience(total=math.inf, first=0.2, most=2.0)
_NAMESPACE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_log = logging.getLogger(__name__)


class NodeLease:
    """`clock` gives seconds since the epoch."""

    def __init__(self, api: KubeApi, name: str, clock: Callable[[], float]) -> None:
        self._api = api
        self._name = name
        self._path = f"{_NAMESPACE}/{name}"
        self._clock = clock
        self._owner: str | None = None
        self._owned = asyncio.Event()

    def belong_to(self, node: Json | None) -> None:
        """The garbage collector removes it together with that object; the next renewal is at once when it is another
        one."""
        owner = node["metadata"]["uid"] if node else None
        if owner != self._owner:
            self._owner = owner
            self._owned.set()

    async def renew(self) -> None:
        """Once."""
        body = self._document()
        try:
            await self._api.patch(self._path, body, Patch.MERGE)
        except NotFound:
            await self._api.create(_NAMESPACE, body)

    async def keep(self) -> None:
        """From when there is a node until it is cancelled."""
        trial = Trial(_PAUSES)
        await self._owned.wait()
        while True:
            self._owned.clear()
            try:
                async with asyncio.timeout(PERIOD):
                    await self.renew()
            except (FarnodeError, TimeoutError) as error:
                words = str(error) or "the API server takes too long"
                _log.warning("the Lease of node %s could not be renewed: %s", self._name, words)
                await trial.pause(error if isinstance(error, Transient) else Transient(words))
            else:
                trial.succeeded()
                with suppress(TimeoutError):
                    async with asyncio.timeout(PERIOD):
                        await self._owned.wait()

    async def lives(self) -> bool:
        """Whether somebody renewed it before it ran out."""
        try:
            spec = (await self._api.get(self._path)).get("spec") or {}
        except NotFound:
            return False
        if not spec.get("renewTime"):
            return False
        renewed = datetime.fromisoformat(spec["renewTime"]).timestamp()
        return self._clock() < renewed + (spec.get("leaseDurationSeconds") or DURATION)

    def _document(self) -> Json:
        metadata: Json = {"name": self._name}
        if self._owner is not None:
            owner = {"apiVersion": "v1", "kind": "Node", "name": self._name, "uid": self._owner}
            metadata["ownerReferences"] = [owner]
        renewed = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {"holderIdentity": self._name, "leaseDurationSeconds": DURATION, "renewTime": renewed},
        }
