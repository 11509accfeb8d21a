"""The port in front of the ledger: requests that can never fit are refused, the rest is the ledger's business."""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Self, TypeVar

from farnode.errors import Transient
from farnode.model.allocation import AllocationId, AllocationRequest, AllocationState, Refused
from farnode.model.offer import Offer
from farnode.providers.local.ledger import Ledger
from farnode.providers.local.record import Record
from farnode.providers.local.settings import LocalSettings
from farnode.providers.port import Site

log = logging.getLogger(__name__)
T = TypeVar("T")
GRACE = 30.0
"""Seconds between SIGTERM and SIGKILL, as Slurm's KillWait is by default."""
NONCE = re.compile(r"[A-Za-z0-9_-]{1,64}")


class LocalProvider:
    """Processes of this machine as allocations. `clock` gives seconds since the epoch."""

    def __init__(
        self, settings: LocalSettings, site: Site, *, clock: Callable[[], float] = time.time, grace: float = GRACE
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ledger = Ledger(settings, site.script, site.state, clock, grace)
        self._timer: asyncio.TimerHandle | None = None
        self._work: set[asyncio.Task[None]] = set()

    @classmethod
    def create(cls, settings: Mapping[str, Any], site: Site) -> Self:
        return cls(LocalSettings.read(settings), site)

    async def submit(self, wanted: Sequence[AllocationRequest]) -> Sequence[AllocationId | Refused]:
        refused = [self._refusal(request) for request in wanted]
        pairs = list(zip(wanted, refused, strict=True))
        taken = [self._record(request) for request, refusal in pairs if refusal is None]
        await self._keep(lambda: self._ledger.add(taken))
        return [refusal or AllocationId(request.nonce, request.nonce) for request, refusal in pairs]

    async def cancel(self, ids: Collection[AllocationId]) -> None:
        await self._keep(lambda: self._ledger.cancel([each.nonce for each in ids]))

    async def states(self, ids: Collection[AllocationId]) -> Mapping[AllocationId, AllocationState]:
        found = await self._keep(lambda: self._ledger.states([each.nonce for each in ids]))
        return {each: found[each.nonce] for each in ids}

    async def inventory(self) -> Sequence[Offer]:
        return (self._settings.offer(),)

    def _refusal(self, request: AllocationRequest) -> Refused | None:
        own, gpu = self._settings, request.gpu
        if not NONCE.fullmatch(request.nonce):
            return Refused(f"{request.nonce!r} is no name for an allocation")
        if request.partition or request.account or request.qos:
            return Refused("this site has no partitions, accounts or QOS: name none")
        if request.nodes != 1:
            return Refused(f"this site is one machine; {request.nodes} nodes are asked for")
        if request.cores > own.cores or request.memory > own.memory:
            return Refused(f"this site has {own.cores} cores and {own.memory} bytes of memory in all")
        if gpu and (own.gpu is None or gpu.model not in ("", own.gpu.model) or gpu.count > own.gpu.count):
            has = f"{own.gpu.count} of type {own.gpu.model}" if own.gpu else "none"
            return Refused(f"{gpu.count} GPUs of type {gpu.model or 'any'} are asked for; this site has {has}")
        return None

    def _record(self, request: AllocationRequest) -> Record:
        return Record(
            nonce=request.nonce,
            directory=request.directory,
            environment={**base_environment(), **request.environment},
            cores=request.cores,
            memory=request.memory,
            gpus=request.gpu.count if request.gpu else 0,
            due=self._clock() + self._settings.queue_delay,
            walltime=request.walltime,
            warning=request.warning,
        )

    async def _keep(self, work: Callable[[], T]) -> T:
        """Let the ledger work, then wake up when the next thing is due, even if nobody asks by then."""
        try:
            done = await asyncio.to_thread(work)
            delay = await asyncio.to_thread(self._ledger.next_due)
        except OSError as error:
            raise Transient(f"the allocations' records cannot be kept: {error}") from error
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if delay is None else asyncio.get_running_loop().call_later(delay + 0.01, self._wake)
        return done

    def _wake(self) -> None:
        task = asyncio.create_task(self._keep(self._ledger.advance))
        self._work.add(task)
        task.add_done_callback(self._woken)

    def _woken(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("what was due is done at the next call: %s", error)


def base_environment() -> dict[str, str]:
    """What any program may count on, and nothing of the gateway's own environment."""
    uid = os.getuid()
    try:
        entry = pwd.getpwuid(uid)
        user, home = entry.pw_name, entry.pw_dir
    except KeyError:  # a container's user without a line in passwd
        user, home = str(uid), "/"
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": home, "USER": user, "LANG": "C.UTF-8"}
