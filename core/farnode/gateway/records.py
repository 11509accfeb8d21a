"""What the gateway remembers of a pod, an allocation and a claim: frozen values, stored as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from farnode.model.allocation import AllocationId, AllocationRequest, Cause
from farnode.model.image import Image


class Stage(Enum):
    """How far a pod is. Only BOUND has an attempt that may be alive."""

    IMAGES = "images"
    """Waiting for its images to be ready at the site."""
    QUEUED = "queued"
    """Waiting for a runner with room, or for an allocation to be asked for."""
    PLACED = "placed"
    """A dedicated allocation has been asked for; its runner has not come yet."""
    BOUND = "bound"
    """An attempt belongs to a runner, which may or may not have heard of it."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Deleting:
    """The intention to end a pod; `grace` in seconds, None: the pod's own."""

    at: float
    grace: float | None = None
    purge: bool = False
    """Its record goes, too, when it has ended."""


@dataclass(frozen=True, slots=True)
class PodRecord:
    """A pod at this site. Times are seconds since the epoch by the gateway's clock.

    `nonce` is the allocation of the current attempt (or the one asked for); `status` a v1.PodStatus; `restarts` the
    counts carried into the next attempt; `cut` marks an attempt whose runner ended it because its allocation was
    ending: what that means for the pod is decided when the batch system says why.
    """

    uid: str
    owner: str
    created: float
    stage: Stage
    status: Mapping[str, Any]
    runtime: str
    attempt: int = 0
    nonce: str | None = None
    queued: float | None = None
    retry: float | None = None
    failures: int = 0
    """Images not had, or batch jobs that ended before the pod could start, in a row."""
    refused: str = ""
    """The image that was not had just now, until the pod says that it backs off."""
    refusals: int = 0
    """Submissions refused for the moment, and nodes whose ports were taken."""
    images: tuple[Image, ...] = ()
    inputs: int = 0
    """The version of its inputs, as `PUT /v1/pods/{uid}/inputs` counts."""
    restarts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[Mapping[str, Any], ...] = ()
    past: tuple[Mapping[str, Any], ...] = ()
    """Attempts that were lost, as `model.api.AttemptView`, the newest last."""
    gpus: tuple[str, ...] = ()
    deleting: Deleting | None = None
    cut: bool = False
    gang: str = ""
    """The base of the job in which its attempt, or its last one, began together with others."""
    halted: str = ""
    """Why it is to end though nobody asked for its deletion, in words."""
    ended: float | None = None
    logs: Mapping[str, int] = field(default_factory=dict)


class Life(Enum):
    """How far an allocation is, as far as this gateway knows."""

    WANTED = "wanted"
    """Stored; whether the batch system has it is not known."""
    SUBMITTED = "submitted"
    RUNNING = "running"
    """Its runner has come."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class AllocationRecord:
    """One batch job, or a node of a gang's. `pod` is the uid it was asked for (None: it is for pods of `owner`, or of
    anyone: a pilot or a standing one).

    `incarnation` is the runner that exchanged the one-time token; none other is ever let in. `acked` is its highest
    stored event. `heard` is when it was last heard; `absent` since when the batch system has known no such job.
    `cancelled`: it is to end, and is cancelled again until the batch system says that it has.
    """

    request: AllocationRequest
    offer: str
    created: float
    life: Life = Life.WANTED
    pod: str | None = None
    owner: str | None = None
    job: str | None = None
    incarnation: str | None = None
    capacity: Mapping[str, Any] = field(default_factory=dict)
    acked: int = 0
    heard: float | None = None
    fence_after: float = 0.0
    """What its runner was told, at most: it ends its pods when unheard for so long."""
    absent: float | None = None
    cancelled: bool = False
    draining: bool = False
    """It takes no more pods, and ends when those it has have ended."""
    given_up: float | None = None
    """Since when the batch system has called it ended without proof that its processes are dead."""
    phase: str = ""
    cause: Cause | None = None
    reason: str = ""
    words: str = ""
    expected_start: float | None = None
    nodes: tuple[str, ...] = ()
    started: float | None = None
    ends_at: float | None = None
    """When its time is up, as its runner was told by the batch system or else by what was asked for."""
    ended: float | None = None

    @property
    def nonce(self) -> str:
        return self.request.nonce

    @property
    def id(self) -> AllocationId:
        return AllocationId(self.request.nonce, self.job)


class ClaimKey(NamedTuple):
    """A claim is its owner's, in one namespace, by its name there."""

    owner: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """A claim and its directory `path`, which may be on the disk as soon as this is stored. `size` in bytes is what was
    last asked for; `reclaim` what becomes of the directory, as its class said when the claim was made."""

    owner: str
    namespace: str
    name: str
    storage_class: str
    path: str
    size: int
    created: float
    reclaim: str = "delete"
    pod: str | None = None
    """The uid of the pod it goes with."""
    ready: bool = False
    """Its directory has been made, and its quota set for this size."""
    deleting: bool = False

    @property
    def key(self) -> ClaimKey:
        return ClaimKey(self.owner, self.namespace, self.name)
