"""What can happen to a gateway, and what it may have to do about it: plain values, both sides of the machine.

Times (`at`) are seconds since the epoch by the gateway's clock and come with the stimulus: the machine has no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from farnode.gateway.records import ClaimKey, ClaimRecord
from farnode.model.allocation import AllocationRequest, AllocationState
from farnode.model.bundle import Bundle
from farnode.model.image import Image
from farnode.wire.messages import EventFrame, Held, Note

# ---- what happened -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Submitted:
    """A bundle of an owner was accepted; `runtime` is what its containers will run with."""

    at: float
    owner: str
    bundle: Bundle
    runtime: str


@dataclass(frozen=True, slots=True)
class InputsUpdated:
    """Newer ConfigMaps and Secrets: the attempt that is alive gets its files anew, the next one starts with them."""

    at: float
    uid: str
    version: int
    bundle: Bundle


@dataclass(frozen=True, slots=True)
class DeleteAsked:
    at: float
    uid: str
    grace: float | None = None
    purge: bool = False


@dataclass(frozen=True, slots=True)
class ImagesReady:
    at: float
    uid: str
    images: tuple[Image, ...]
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class ImagesNoted:
    """Lines of the pod's story while its images are fetched."""

    uid: str
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class ImagesFailed:
    """`reason` is the kubelet's (ErrImagePull, …); tried again at `retry`."""

    at: float
    uid: str
    image: str
    reason: str
    message: str
    retry: float
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimStored:
    """A claim that is new or has changed."""

    claim: ClaimRecord


@dataclass(frozen=True, slots=True)
class ClaimsFailed:
    """A claim of a pod is not ready, as `message` says; tried again at `retry`."""

    at: float
    uid: str
    message: str
    retry: float


@dataclass(frozen=True, slots=True)
class ClaimDeleteAsked:
    """Does nothing while a pod uses the claim."""

    key: ClaimKey


@dataclass(frozen=True, slots=True)
class ClaimGone:
    """Its directory has been removed, or is left to its owner."""

    key: ClaimKey


@dataclass(frozen=True, slots=True)
class AllocationWanted:
    """The scheduler wants an allocation: for pod `pod`, or a standing one for pods of `owner` (None: of anyone)."""

    at: float
    request: AllocationRequest
    offer: str
    pod: str | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class AllocationSubmitted:
    """`job` None: the submission's outcome is unclear; the batch system will be asked by name."""

    at: float
    nonce: str
    job: str | None


@dataclass(frozen=True, slots=True)
class AllocationRefused:
    at: float
    nonce: str
    words: str
    again: bool


@dataclass(frozen=True, slots=True)
class AllocationSeen:
    at: float
    nonce: str
    state: AllocationState


@dataclass(frozen=True, slots=True)
class Bound:
    """The scheduler gives a queued pod to a runner with room."""

    at: float
    uid: str
    nonce: str


@dataclass(frozen=True, slots=True)
class RunnerConnected:
    """A runner that proved itself is connected; `host` is its node, `job` the batch job it runs in, `held` are the
    attempts it knows."""

    at: float
    nonce: str
    incarnation: str
    host: str
    job: str | None
    capacity: Mapping[str, object]
    held: Sequence[Held]


@dataclass(frozen=True, slots=True)
class RunnerLeft:
    """The runner ended in order: nothing runs there, and all that happened is known."""

    at: float
    nonce: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """The scheduler has no more pods for an allocation: it ends with those it has, or is withdrawn where it has not
    begun."""

    at: float
    nonce: str
    words: str


@dataclass(frozen=True, slots=True)
class RunnerHeard:
    at: float
    nonce: str


@dataclass(frozen=True, slots=True)
class RunnerEvents:
    """Events of an incarnation, over its link or, after its end, out of the spool."""

    at: float
    nonce: str
    incarnation: str
    events: Sequence[EventFrame]


@dataclass(frozen=True, slots=True)
class SpoolRead:
    """The spool was read after the batch system reported the end: what no event has ended by now is lost. `words` are
    those of a job script that could not start its runner."""

    at: float
    nonce: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Unsendable:
    """The order of a bound pod cannot be made or sent: it never reached a runner, and never will."""

    at: float
    uid: str
    words: str


@dataclass(frozen=True, slots=True)
class Unplaceable:
    """No offer fits the pod now; `words` say why. It goes on waiting."""

    at: float
    uid: str
    words: str


@dataclass(frozen=True, slots=True)
class StopAll:
    """End every pod and every allocation."""

    at: float


@dataclass(frozen=True, slots=True)
class Tick:
    at: float


Stimulus = (
    Submitted
    | InputsUpdated
    | DeleteAsked
    | ImagesReady
    | ImagesNoted
    | ImagesFailed
    | ClaimStored
    | ClaimsFailed
    | ClaimDeleteAsked
    | ClaimGone
    | AllocationWanted
    | AllocationSubmitted
    | AllocationRefused
    | AllocationSeen
    | Bound
    | RunnerConnected
    | RunnerHeard
    | RunnerLeft
    | DrainAsked
    | RunnerEvents
    | SpoolRead
    | Unsendable
    | Unplaceable
    | StopAll
    | Tick
)

# ---- what is to be done, after what changed is durable -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FetchImages:
    """Make ready what the pod needs before it can start: its images, and the directories of its claims."""

    uid: str


@dataclass(frozen=True, slots=True)
class UpdateInputs:
    """Send the files of the pod's volumes, as they are now, to the runner of `nonce`, if it is connected."""

    nonce: str
    uid: str


@dataclass(frozen=True, slots=True)
class ReclaimClaim:
    """Nobody uses it any more and nobody will: remove its directory, where that is its fate."""

    key: ClaimKey


@dataclass(frozen=True, slots=True)
class SubmitAllocation:
    nonce: str


@dataclass(frozen=True, slots=True)
class CancelAllocation:
    nonce: str


@dataclass(frozen=True, slots=True)
class StartPod:
    """Send the order of the pod's current attempt to the runner of `nonce`, if it is connected."""

    nonce: str
    uid: str


@dataclass(frozen=True, slots=True)
class StopPod:
    nonce: str
    uid: str
    attempt: int
    grace: float | None
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class ForgetPod:
    nonce: str
    uid: str
    attempt: int


@dataclass(frozen=True, slots=True)
class AckEvents:
    nonce: str
    seq: int


@dataclass(frozen=True, slots=True)
class DrainRunner:
    nonce: str


@dataclass(frozen=True, slots=True)
class ReadSpool:
    """Read what the runner left on the spool, report it as RunnerEvents, then SpoolRead."""

    nonce: str


@dataclass(frozen=True, slots=True)
class RemovePod:
    """The record is gone: remove its files."""

    uid: str
    nonce: str | None


@dataclass(frozen=True, slots=True)
class RemoveAllocation:
    nonce: str


Effect = (
    FetchImages
    | UpdateInputs
    | ReclaimClaim
    | SubmitAllocation
    | CancelAllocation
    | StartPod
    | StopPod
    | ForgetPod
    | AckEvents
    | DrainRunner
    | ReadSpool
    | RemovePod
    | RemoveAllocation
)
