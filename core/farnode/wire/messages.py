"""The shapes of what travels: control messages, orders and events, as JSON objects.

A field a reader does not know is ignored; a field it misses has the meaning of its absence stated here. So old runners
keep working with a newer gateway. Times are seconds since the epoch by the sender's clock; sizes are bytes; durations
are seconds. What Kubernetes defines (container states) keeps Kubernetes' own JSON names, so that nobody translates it.

The way of a connection:

    runner   hello        who I am, my one-time token or session key, what I have, which attempts I hold
    gateway  welcome      session key, intervals, the last event it has | refused
    gateway  start, stop, forget, drain, open                 runner  events
    gateway  ack                                              both    ping, pong, close, eof, resize
"""

from __future__ import annotations

from typing import Any, TypedDict

PROTOCOL = 1
"""Raised when an old runner could no longer be understood; a gateway accepts every version it lists."""


# ---- orders: what a pod is to a runner ---------------------------------------------------------------------------


class EnvOrder(TypedDict, total=False):
    """One variable, in order. Either `value` (with `$(VAR)` still in it) or `field`, which only the runner knows:
    `status.hostIP`, `status.podIP`, `spec.nodeName`. `literal` is set where `$(VAR)` must stay as it is
    (values out of ConfigMaps, Secrets and fields are never expanded)."""

    name: str
    value: str
    field: str
    literal: bool


class FileOrder(TypedDict):
    """One file of a volume: `path` below the volume's root, `mode` in octal digits' value, `data` in base64."""

    path: str
    mode: int
    data: str


class VolumeOrder(TypedDict, total=False):
    """`kind` is "empty" (a fresh directory that lives as long as the attempt) or "files" (read-only content)."""

    name: str
    kind: str
    files: list[FileOrder]
    medium: str
    size_limit: int | None


class MountOrder(TypedDict, total=False):
    volume: str
    path: str
    read_only: bool
    sub_path: str


class ImageOrder(TypedDict, total=False):
    """`path` is a SIF file or directory reachable from the compute node; absent for the process runtime."""

    reference: str
    digest: str
    path: str
    entrypoint: list[str]
    cmd: list[str]
    env: list[str]
    working_dir: str


class ContainerOrder(TypedDict, total=False):
    """`command` and `args` as the pod has them (absent: the image's ENTRYPOINT and CMD); `gpus` counts whole devices
    (or MIG instances) of the pod's allocation that this container gets."""

    name: str
    image: ImageOrder
    command: list[str] | None
    args: list[str] | None
    env: list[EnvOrder]
    working_dir: str
    mounts: list[MountOrder]
    gpus: int
    tty: bool
    stdin: bool
    termination_message_path: str
    termination_message_policy: str


class PodOrder(TypedDict, total=False):
    """All a runner needs. `restarts` carries restart counts of earlier attempts by container name. `cores` is a
    decimal number of cores, `memory` bytes: what the pod asks for in all. `runtime` names the runtime to use."""

    uid: str
    attempt: int
    namespace: str
    name: str
    owner: str
    hostname: str
    node_name: str
    runtime: str
    restart_policy: str
    grace: float
    deadline: float | None
    cores: float
    memory: int
    gpus: int
    init_containers: list[ContainerOrder]
    containers: list[ContainerOrder]
    volumes: list[VolumeOrder]
    restarts: dict[str, int]
    mpi: bool


# ---- events: what a runner says of an attempt --------------------------------------------------------------------


class Note(TypedDict):
    """One line of a pod's story, named as the kubelet names its Events (Pulled, Created, Started, BackOff, Killing)."""

    at: float
    kind: str
    reason: str
    message: str


class EventFrame(TypedDict, total=False):
    """The state of one attempt at one moment, whole: a later event replaces an earlier one.

    `seq` grows by one per runner incarnation, beginning at 1, and is kept on disk until acknowledged. `phase`, `reason`
    and `message` are those of v1.PodStatus. `containers` and `init_containers` are v1.ContainerStatus objects.
    `ended` marks the last event of the attempt: no process of it lives any more; `logs` then gives the final size in
    bytes of each log file, by its name in the pod's directory.
    """

    seq: int
    uid: str
    attempt: int
    at: float
    phase: str
    reason: str
    message: str
    started_at: float
    host_ip: str
    pod_ip: str
    gpus: list[str]
    init_containers: list[dict[str, Any]]
    containers: list[dict[str, Any]]
    notes: list[Note]
    ended: bool
    logs: dict[str, int]


# ---- runner -> gateway -------------------------------------------------------------------------------------------


class Capacity(TypedDict, total=False):
    """What this node of the allocation has; `gpus` are devices verbatim as the batch system named them."""

    cores: float
    memory: int
    gpus: list[str]


class Held(TypedDict):
    """An attempt this runner knows: started at most once by it, never to be started again by anyone."""

    uid: str
    attempt: int
    ended: bool


class Hello(TypedDict, total=False):
    """First message. `token` (one-time) on the first connection of an incarnation, `session` afterwards. `job` is the
    batch system's id of the allocation. `runtimes` names what works on this node. `ends_at` is when the allocation
    ends, where the batch system says it."""

    type: str
    protocols: list[int]
    nonce: str
    incarnation: str
    token: str
    session: str
    host: str
    job: str
    address: str
    version: str
    time: float
    ends_at: float | None
    capacity: Capacity
    runtimes: dict[str, str]
    held: list[Held]


class Events(TypedDict):
    type: str
    events: list[EventFrame]


# ---- gateway -> runner -------------------------------------------------------------------------------------------


class Welcome(TypedDict):
    """`acked`: the highest event the gateway has stored; everything after it is sent again. A runner that hears
    nothing for `heartbeat` * 3 seconds reconnects; one unheard for `fence_after` kills its pods and exits.
    A runner without pods for `idle_exit` seconds exits (0: it waits for `drain`)."""

    type: str
    protocol: int
    session: str
    acked: int
    heartbeat: float
    fence_after: float
    idle_exit: float
    time: float


class RefusedRunner(TypedDict):
    """Sent instead of welcome. With `final` the runner kills what it runs and exits: it is no longer wanted."""

    type: str
    reason: str
    final: bool


class Ack(TypedDict):
    type: str
    seq: int


class Start(TypedDict):
    """Attempts to start; one the runner already holds is left as it is."""

    type: str
    pods: list[PodOrder]


class Stop(TypedDict, total=False):
    """End an attempt: SIGTERM, then SIGKILL after `grace` seconds (absent: the pod's own; 0: at once). The attempt's
    final event carries `reason` and `message` as the pod's. Unknown attempts are answered with an ended event
    (phase Failed, no containers), so that the gateway never waits for what is not there."""

    type: str
    uid: str
    attempt: int
    grace: float
    reason: str
    message: str


class Forget(TypedDict):
    """The gateway holds the end of this attempt; its in-memory record may go (its files belong to the gateway)."""

    type: str
    uid: str
    attempt: int


class Drain(TypedDict):
    """No more pods will come: exit when the last one has ended and every event is acknowledged."""

    type: str


class Open(TypedDict, total=False):
    """Opens stream `stream`. `kind`: "logs" (options: LogOptions) | "exec" (options: ExecOptions).
    The runner sends DATA on it and at last a `close` message with `exit_code` or `error`."""

    type: str
    stream: int
    kind: str
    uid: str
    attempt: int
    container: str
    options: dict[str, Any]


class LogOptions(TypedDict, total=False):
    """As in v1.PodLogOptions; `since` is an absolute time, compared with those of the lines; `limit` is bytes."""

    follow: bool
    previous: bool
    timestamps: bool
    tail: int | None
    since: float | None
    limit: int | None


class ExecOptions(TypedDict, total=False):
    command: list[str]
    stdin: bool
    tty: bool
    rows: int
    cols: int


class Close(TypedDict, total=False):
    """Ends a stream, from either side. `error` is a sentence; `exit_code` that of an exec."""

    type: str
    exit_code: int
    error: str


class Eof(TypedDict):
    """No more bytes on this channel (half-close)."""

    type: str
    channel: int


class Resize(TypedDict):
    type: str
    rows: int
    cols: int


class Ping(TypedDict):
    type: str
    time: float
