"""Claims of pods and their host paths: checked when a pod comes, ready before it starts, reclaimed when nobody is left.

The gateway makes the directories itself: its host sees the file systems of its compute nodes. What is decided is stored
before anything is on the disk, so no directory is ever forgotten.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from weakref import WeakValueDictionary

from farnode.errors import Invalid
from farnode.gateway import stimuli as s
from farnode.gateway.config import Storage
from farnode.gateway.engine import Engine
from farnode.gateway.records import ClaimKey, ClaimRecord, PodRecord
from farnode.gateway.storage import directory, hostpath
from farnode.gateway.storage.classes import Classes
from farnode.gateway.storage.directory import StorageError
from farnode.model.bundle import Bundle
from farnode.model.claim import ClaimWanted
from farnode.wire.messages import PodOrder

log = logging.getLogger(__name__)

SHORTEST, LONGEST = 10.0, 300.0
"""Seconds between two tries to make a claim ready, as between those to get an image."""
AGAIN = 60.0
"""Seconds until a directory that could not be removed is tried again."""
REMOVALS = 2
"""At once: each may take hours, and the threads are needed by all else that is on a disk."""


class Keeper:
    def __init__(self, settings: Storage, engine: Engine) -> None:
        self._allowed = settings.host_paths
        self._classes = Classes(settings.storage_classes)
        self._engine = engine
        self._locks: WeakValueDictionary[ClaimKey, asyncio.Lock] = WeakValueDictionary()
        self._removals = asyncio.Semaphore(REMOVALS)

    def check(self, owner: str, bundle: Bundle) -> None:
        """Invalid when the pod can never have the storage it asks for."""
        for wanted in bundle.host_paths:
            hostpath.entry(wanted, self._allowed)
        for claim in bundle.claims:
            key = ClaimKey(owner, bundle.pod.namespace, claim.name)
            self._classes.check(key, claim, self._engine.machine.claims.get(key))

    async def prepare(self, uid: str) -> bool:
        """Whether every claim of the pod has its directory now; if not the machine was told why."""
        pod = self._engine.machine.pods.get(uid)
        if pod is None:
            return False
        try:
            await self._prepare_all(pod)
        except Exception as problem:  # whatever it is: the pod waits, and says for what
            if not isinstance(problem, StorageError):
                log.exception("pod %s: its claims", uid)
            at = self._engine.clock()
            retry = at + min(LONGEST, SHORTEST * 2.0 ** min(pod.failures, 10))
            await self._engine.tell(s.ClaimsFailed(at, uid, str(problem), retry))
            return False
        return True

    async def _prepare_all(self, pod: PodRecord) -> None:
        bundle = self._engine.machine.bundles[pod.uid]
        for wanted in bundle.claims:
            key = ClaimKey(pod.owner, bundle.pod.namespace, wanted.name)
            async with self._locks.setdefault(key, asyncio.Lock()):
                await self._prepare(key, wanted, pod.uid if wanted.ephemeral else None)

    async def _prepare(self, key: ClaimKey, wanted: ClaimWanted, pod: str | None) -> None:
        try:
            await self._bind(self._claim(key, wanted, pod))
        except (OSError, Invalid, StorageError) as error:
            raise StorageError(f"the claim {wanted.name!r} is not ready: {error}") from error

    def _claim(self, key: ClaimKey, wanted: ClaimWanted, pod: str | None) -> ClaimRecord:
        """As it shall be."""
        known = self._engine.machine.claims.get(key)
        if known is None:
            return self._classes.claim(key, wanted, self._engine.clock(), pod)
        self._classes.check(key, wanted, known)
        if known.deleting or known.pod != pod:
            raise StorageError(f"there is a claim of this name, which {_whose(known)}")
        return replace(known, size=wanted.size, ready=False) if wanted.size > known.size else known

    async def _bind(self, claim: ClaimRecord) -> None:
        path = Path(claim.path)
        if claim.ready and not await asyncio.to_thread(path.is_dir):  # a site may clear its scratch space
            claim = replace(claim, ready=False)
        if claim.ready:
            return
        await self._engine.ask(s.ClaimStored(claim))
        await asyncio.to_thread(directory.make, path)
        quota = self._classes.quota(claim)
        if quota:
            await directory.set_quota(quota)
        await self._engine.ask(s.ClaimStored(replace(claim, ready=True)))
        log.info("claim %s/%s of %s: %s", claim.namespace, claim.name, claim.owner, path)

    def directories(self, pod: PodRecord) -> Mapping[str, str]:
        """Of the pod's claims, by name."""
        machine = self._engine.machine
        return {key.name: machine.claims[key].path for key in machine.claim_keys(pod)}

    def confine(self, order: PodOrder, bundle: Bundle) -> None:
        """Hold the host paths of an order to what the site allows now."""
        entries = {wanted.volume: hostpath.entry(wanted, self._allowed) for wanted in bundle.host_paths}
        for volume in order["volumes"]:
            if volume["name"] in entries:
                hostpath.confine(volume, entries[volume["name"]])

    async def reclaim(self, key: ClaimKey) -> None:
        """Remove the directory of a claim that is to go, unless it is to stay, and the claim."""
        async with self._locks.setdefault(key, asyncio.Lock()):
            claim = self._engine.machine.claims.get(key)
            if claim is None:
                return
            try:
                if claim.reclaim == "delete":
                    async with self._removals:
                        await asyncio.to_thread(directory.remove, Path(claim.path))
            except OSError as error:
                log.warning("claim %s/%s of %s: %s", claim.namespace, claim.name, claim.owner, error)
            else:
                await self._engine.ask(s.ClaimGone(key))
                log.info("claim %s/%s of %s is gone", claim.namespace, claim.name, claim.owner)
                return
        await asyncio.sleep(AGAIN)  # who asked for this asks again and again


def _whose(claim: ClaimRecord) -> str:
    if claim.deleting:
        return "is just being deleted"
    return "goes with another pod" if claim.pod else "was not made for this pod"
