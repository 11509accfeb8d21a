"""What a driver for a batch system must do. Every call is batched; none is per pod.

A driver raises `Transient` when the batch system did not answer or answered noise, and then the call may or may not
have had its effect: the caller finds out by `states`. It never raises for one bad entry of a batch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from farnode.model.allocation import AllocationId, AllocationRequest, AllocationState, Refused
from farnode.model.offer import Offer


@dataclass(frozen=True, slots=True)
class StartEstimate:
    """When an allocation would start, in seconds since the epoch; None when the batch system cannot say."""

    at: float | None
    words: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """What a driver is told of the gateway it works for. `script` is the fixed job script; `state` a private directory
    on a local disk where the driver may keep what must survive a restart."""

    name: str
    script: Path
    state: Path


class AllocationProvider(Protocol):
    @classmethod
    def create(cls, settings: Mapping[str, Any], site: Site) -> Self:
        """Build a driver from its part of the gateway's configuration; Invalid names a wrong key."""
        ...

    async def submit(self, wanted: Sequence[AllocationRequest]) -> Sequence[AllocationId | Refused]:
        """Ask for allocations; one answer each, in order. Those of one base are one array, or with `together` one job,
        where the batch system has such; of a job's nodes all are accepted or none."""
        ...

    async def cancel(self, ids: Collection[AllocationId]) -> None:
        """End allocations: SIGTERM to the script first, SIGKILL later. Idempotent; unknown ones are fine."""
        ...

    async def states(self, ids: Collection[AllocationId]) -> Mapping[AllocationId, AllocationState]:
        """The state of each, also of ones that ended; found by name where the job id is not known."""
        ...

    async def inventory(self) -> Sequence[Offer]:
        """What this account can get, from the real limits."""
        ...


@dataclass(frozen=True, slots=True)
class Calls:
    """What a batch system is spared: `burst` commands at once and `per_minute` in the long run, of which `left` can be
    made now. `made` counts those made since the driver started by command, `waiting` those held back now."""

    burst: int
    per_minute: float
    left: float
    made: Mapping[str, int]
    waiting: int


@runtime_checkable
class SupportsCalls(Protocol):
    def calls(self) -> Calls: ...


class SupportsEstimate(Protocol):
    async def estimate(self, wanted: Sequence[AllocationRequest]) -> Sequence[StartEstimate]: ...


@runtime_checkable
class SupportsVersion(Protocol):
    async def version(self) -> str:
        """What the batch system calls itself, for people; Transient when it does not answer."""
        ...
