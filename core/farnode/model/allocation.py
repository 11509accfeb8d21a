"""What is asked of a batch system, and what it says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """As the batch system names it: `model` "" asks for any type."""

    vendor: str
    model: str
    count: int


@dataclass(frozen=True, slots=True)
class AllocationRequest:
    """One allocation. `nonce` was stored before anything is submitted; the batch job is named `farnode-<base>`.

    The nonce is its `base`, or `<base>-<index>` where several are asked for at once: allocations that are alike in all
    but nonce and directory are the elements of one job array (`index` is the element's); with `together` they are the
    nodes of one job, `nodes` in number, whose script starts a runner on each (`index` is the node's place in the job).

    Without `together`, `nodes` more than 1 is one job of so many nodes with one runner, on the first of them.

    `cores` per node, `memory` bytes per node, `walltime` seconds (None: the partition's limit). `partition`, `account`
    and `qos` equal entries of the inventory. `directory` is the allocation's own directory on the spool, where the
    script's output goes; `environment` is the whole environment the fixed script is given. `warning`: how many seconds
    before its end the script should be told, at least.
    """

    nonce: str
    cores: int
    memory: int
    directory: str
    gpu: GpuRequest | None = None
    walltime: int | None = None
    nodes: int = 1
    together: bool = False
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    comment: str = ""
    warning: int = 60
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return base_of(self.nonce)

    @property
    def index(self) -> int | None:
        return index_of(self.nonce)

    @property
    def job_name(self) -> str:
        return f"farnode-{self.base}"


@dataclass(frozen=True, slots=True)
class AllocationId:
    """How an allocation is asked for. `job` is the batch system's id (of an array's element `<array>_<index>`), None
    until known; `nonce` always is, and an answer counts only when the job's name carries its base and, where the job is
    an array's element, its index (ids can come again after a crash of the batch system)."""

    nonce: str
    job: str | None = None


def base_of(nonce: str) -> str:
    """What allocations that were asked for at once have in common; a nonce that stands alone is its own base."""
    return nonce.partition("-")[0]


def index_of(nonce: str) -> int | None:
    """Which of those that were asked for at once; None for one that stands alone."""
    _, dash, index = nonce.partition("-")
    return int(index) if dash else None


@dataclass(frozen=True, slots=True)
class Refused:
    """The batch system would not take the request. `words` tell the user what to change. With `again` the refusal is
    of the moment (too many jobs queued) and the same request may be made later."""

    words: str
    again: bool = False


class Phase(Enum):
    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    ABSENT = "absent"
    """The batch system answered and knows no job of this name."""


class Cause(Enum):
    """Why an allocation ended, as far as pods are concerned."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    WALLTIME = "walltime"
    PREEMPTED = "preempted"
    NODE_FAILURE = "node-failure"
    OUT_OF_MEMORY = "out-of-memory"


@dataclass(frozen=True, slots=True)
class AllocationState:
    """What the batch system says now. `reason` is its own code, `words` the same for a person.

    `fenced` False: its processes may live on though the batch system has given the allocation up (a failed node), so
    a re-run must wait until its runner has fenced itself. `expected_start` in seconds since the epoch.
    """

    phase: Phase
    job: str | None = None
    cause: Cause | None = None
    reason: str = ""
    words: str = ""
    fenced: bool = True
    expected_start: float | None = None
    nodes: tuple[str, ...] = ()
