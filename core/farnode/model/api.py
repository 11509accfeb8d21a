"""The JSON of the gateway's API (v1), as its clients see it. Names are camelCase, as in Kubernetes' own objects.

    POST   /v1/pods                        {"bundles": [Bundle]}      -> {"verdicts": [Verdict]}   durable before 200
    POST   /v1/pods/delete                 {"pods": [Deletion]}       -> {"verdicts": [Verdict]}
    PUT    /v1/pods/{uid}/inputs           Inputs, with "version"     -> {"version": n}          the newest it has
    GET    /v1/pods                                                   -> {"pods": [PodView], "seq": n}
    GET    /v1/pods/{uid}                                             -> PodView, with `pod` (the manifest)
    GET    /v1/events?after=SEQ            lines of JSON, one EventView each; 410 when SEQ is too old: list again
    GET    /v1/pods/{uid}/logs/{container} ?follow&previous&timestamps&tailLines&sinceSeconds&sinceTime&limitBytes
    WS     /v1/pods/{uid}/exec/{container} ?command=…&command=…&stdin&tty&rows&cols   (v5.channel.k8s.io)
    WS     /v1/pods/{uid}/attach/{container}  ?stdin&stdout&stderr&rows&cols
    WS     /v1/pods/{uid}/ports/{port}     a TCP connection: channel 0 to the pod, channel 1 from it
    GET    /v1/claims                                                 -> {"claims": [ClaimView]}
    DELETE /v1/claims/{namespace}/{name}   ?owner                     -> ClaimView; 409 while a pod uses it
    GET    /v1/stats                                                  -> StatsView
    GET    /v1/site                                                   -> SiteView
    POST   /v1/site/drain                  {"drain": bool}            -> SiteView          role admin
    POST   /v1/site/stop                                              -> {"pods": n}       role admin: ends everything
    GET    /metrics /healthz /readyz

Errors are {"error": {"code", "field", "message"}} with 400 invalid, 401/403 denied, 404 not found, 409 conflict,
410 gone, 413 too large, 503 transient (with Retry-After).
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class Verdict(TypedDict, total=False):
    """Of one pod of a batch. `field` and `message` only with "invalid" and "full" (not now, but perhaps later);
    "unknown" only of deletions."""

    uid: str
    verdict: Literal["accepted", "exists", "invalid", "full", "unknown"]
    field: str
    message: str


class Deletion(TypedDict, total=False):
    """`graceSeconds`: 0 ends it at once, absent: the pod's own. `purge` also removes an ended pod's record and logs."""

    uid: str
    graceSeconds: int
    purge: bool


class AllocationView(TypedDict, total=False):
    """Where a pod is, or what it waits for: a `pilot` is for many pods, a `dedicated` one for this pod, a `gang` for
    those that start with it. `words` are the batch system's reason, for a person. `expectedStart` and `startedAt` are
    seconds since the epoch, `walltime` is seconds."""

    nonce: str
    kind: Literal["pilot", "dedicated", "gang"]
    job: str
    phase: str
    offer: str
    nodes: list[str]
    reason: str
    words: str
    expectedStart: float
    startedAt: float
    walltime: int
    partition: str


class Amounts(TypedDict):
    """`memory` in bytes."""

    millicores: int
    memory: int
    gpus: int


class SiteAllocation(AllocationView, total=False):
    """`pods` run in it now, which asked for `used` of its `capacity` (of one node); `running` names some of those that
    are the caller's. `owner` is absent where the pods of all owners share it. `draining`: it takes no more pods.
    `idleSeconds`: for so long it has had none. `askedAt` and `endsAt` are seconds since the epoch."""

    owner: str
    askedAt: float
    pods: int
    running: list[str]
    draining: bool
    capacity: Amounts
    used: Amounts
    idleSeconds: float
    endsAt: float


class AttemptView(TypedDict, total=False):
    """An attempt that was lost with its allocation, and followed by another. Times are RFC 3339."""

    attempt: int
    job: str
    nodes: list[str]
    startedAt: str
    endedAt: str
    reason: str
    message: str


class GangView(TypedDict):
    """The `size` pods that start together; `failure`: what becomes of the others when one fails, `stop` or `ignore`."""

    name: str
    size: int
    failure: str


class WaitingView(TypedDict):
    """Pods that wait for the same; `oldest` is since when the first of them has, in seconds since the epoch."""

    words: str
    pods: int
    oldest: float


class PodView(TypedDict, total=False):
    """A pod at this site. `node` is its spec.nodeName, "" where it has none; `inputs` the version it was last given by
    `PUT`, absent where it was given none; `status` a v1.PodStatus; `notes` tell its story (wire.messages.Note);
    `attempts` are those before the present one. `pod` (its manifest), `gang`, `queuedAt` (of one that waits for room,
    in seconds since the epoch) and `waiting` (those in line with it, and what for) come with one pod, not with a
    list."""

    uid: str
    namespace: str
    name: str
    owner: str
    labels: dict[str, str]
    createdAt: str
    attempt: int
    deleting: bool
    ended: bool
    initContainers: list[str]
    containers: list[str]
    node: str
    inputs: int
    status: dict[str, Any]
    gpus: list[str]
    attempts: list[AttemptView]
    allocation: AllocationView
    notes: list[dict[str, Any]]
    queuedAt: float
    waiting: WaitingView
    gang: GangView
    pod: dict[str, Any]


class EventView(TypedDict, total=False):
    """`pod`: the pod as it is now, whole; a reader may skip to the latest of each uid. `gone`: its record was removed.
    `heartbeat` carries only the sequence number."""

    seq: int
    type: Literal["pod", "gone", "heartbeat"]
    uid: str
    pod: PodView


class GpuUsage(TypedDict, total=False):
    """`memory` and `memoryTotal` in bytes, `utilization` in percent; absent where the node has no tool that says it."""

    device: str
    memory: int
    memoryTotal: int
    utilization: float


class ContainerUsage(TypedDict, total=False):
    """`cpu` core seconds since `startedAt`, `memory` bytes now and `memoryPeak` the most seen, `storage` bytes on the
    node's disk, `processes` alive now."""

    name: str
    startedAt: float
    cpu: float
    memory: int
    memoryPeak: int
    storage: int
    processes: int
    gpus: list[GpuUsage]


class PodUsage(TypedDict):
    """What the containers of a pod that run use, at the time `at`."""

    uid: str
    namespace: str
    name: str
    attempt: int
    at: float
    containers: list[ContainerUsage]


class StatsView(TypedDict):
    """`missing`: the allocations (nonces) of pods of the caller whose runner did not answer in time. Times are seconds
    since the epoch."""

    pods: list[PodUsage]
    missing: list[str]


class CallsView(TypedDict):
    """Commands to the batch system: `burst` at once and `perMinute` in the long run, of which `left` may be made now.
    `made` since the gateway started, by command; `waiting` are held back now."""

    burst: int
    perMinute: float
    left: float
    made: dict[str, int]
    waiting: int


class NodeHoursView(TypedDict, total=False):
    """`today` since midnight UTC, by owner; `shared` is what no owner of a shared allocation's pods used. `cap` of each
    owner, absent where there is none."""

    today: dict[str, float]
    cap: float


class SiteView(TypedDict, total=False):
    """`offers` are model.offer.Offer. `allocations`, `waiting` and `nodeHours` are the caller's and those shared by all
    owners, with a token of role admin everybody's; `waiting` has the largest groups, and the rest as one. `calls` is
    absent where the batch system need not be spared any. `time` is the gateway's clock, in seconds since the epoch."""

    name: str
    version: str
    time: float
    provider: str
    draining: bool
    healthy: bool
    problem: str
    runtimes: list[str]
    offers: list[dict[str, Any]]
    allocations: list[SiteAllocation]
    pods: dict[str, int]
    waiting: list[WaitingView]
    calls: CallsView
    nodeHours: NodeHoursView


class ClaimView(TypedDict, total=False):
    """A persistent volume claim at this site. `path` is its directory, `size` the bytes asked for; `reclaim` says what
    becomes of the directory when the claim is deleted. `usedBy`: uids of the pods that use it and have not ended.
    `pod`: the uid of the pod it goes with, where it is an ephemeral one."""

    namespace: str
    name: str
    owner: str
    storageClass: str
    path: str
    size: int
    createdAt: str
    reclaim: Literal["delete", "retain"]
    ready: bool
    deleting: bool
    pod: str
    usedBy: list[str]
