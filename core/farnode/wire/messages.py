"""The shapes of what travels: control messages, orders and events, as JSON objects.

A field a reader does not know is ignored; a field it misses has the meaning of its absence stated here. So old runners
keep working with a newer gateway. Times are seconds since the epoch by the sender's clock; sizes are bytes; durations
are seconds. What Kubernetes defines (container states) keeps Kubernetes' own JSON names, so that nobody translates it.

The way of a connection:

    runner   hello        who I am, my one-time token or session key, what I have, which attempts I hold
    gateway  welcome      session key, intervals, the last event it has | refused
    gateway  start, stop, inputs, forget, drain, open         runner  events
    gateway  ack                                              runner  bye
    both     ping, pong, close, eof, resize
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
    """`kind` is one of

    empty   a fresh directory that lives as long as the attempt; `medium` "Memory" asks for memory, `size_limit` bytes
    files   read-only content (ConfigMap, Secret, downwardAPI, projected): `files`, replaced as a whole by `Inputs`
    path    what the site has at `path` on its nodes; `type` is a hostPath's ("", DirectoryOrCreate, Directory,
            FileOrCreate, File, Socket, CharDevice, BlockDevice); a claim's directory is of type Directory.
            Links in it must not lead out of the directory `below` (absent: they may lead anywhere)
    image   the content of an image, read-only: `image`

    `read_only`: nothing is ever written to it, whatever its mounts say (absent: only files and images are like that).
    """

    name: str
    kind: str
    files: list[FileOrder]
    medium: str
    size_limit: int | None
    path: str
    type: str
    below: str
    read_only: bool
    image: ImageOrder


class MountOrder(TypedDict, total=False):
    """`sub_path_expr` is a subPath with `$(VAR)` of the container's variables in it; only one of the two is given."""

    volume: str
    path: str
    read_only: bool
    sub_path: str
    sub_path_expr: str


class ImageOrder(TypedDict, total=False):
    """`path` is a SIF file or directory reachable from the compute node; absent for the process runtime."""

    reference: str
    digest: str
    path: str
    entrypoint: list[str]
    cmd: list[str]
    env: list[str]
    working_dir: str
    stop_signal: str


class ActionOrder(TypedDict, total=False):
    """What a probe or hook does; `kind` is one of

    exec    run `command` in the container
    http    GET `path` at `port` of the pod with `headers` (pairs); `scheme` HTTP or HTTPS (not verified)
    tcp     connect to `port` of the pod
    sleep   wait `seconds`
    """

    kind: str
    command: list[str]
    port: int
    path: str
    scheme: str
    headers: list[list[str]]
    seconds: float


class ProbeOrder(TypedDict, total=False):
    """v1.Probe with its defaults filled in; durations in seconds. `grace` None: the pod's."""

    action: ActionOrder
    initial_delay: float
    timeout: float
    period: float
    success_threshold: int
    failure_threshold: int
    grace: float | None


class RestartRule(TypedDict):
    """A container that ends with a code that is (`operator` In) or is not (NotIn) one of `codes` is restarted."""

    operator: str
    codes: list[int]


class ContainerOrder(TypedDict, total=False):
    """`command` and `args` as the pod has them (absent: the image's ENTRYPOINT and CMD); `gpus` counts whole devices
    (or MIG instances) of the pod's allocation that this container gets.

    `sidecar`: an init container that keeps running (restartPolicy Always). `restart_policy` and `restart_rules` are the
    container's own; absent: the pod's. `stop_signal` such as "SIGUSR1"; absent: the image's, else SIGTERM.
    `cpu_limit` cores, `memory_limit` and `ephemeral_limit` bytes; absent: none. `memory_request` bytes, for who is
    ended first when memory runs out. `stdin` keeps standard input open for who attaches; with `stdin_once` it is closed
    when the first one leaves."""

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
    stdin_once: bool
    termination_message_path: str
    termination_message_policy: str
    sidecar: bool
    restart_policy: str
    restart_rules: list[RestartRule]
    startup_probe: ProbeOrder
    liveness_probe: ProbeOrder
    readiness_probe: ProbeOrder
    post_start: ActionOrder
    pre_stop: ActionOrder
    stop_signal: str
    read_only_root: bool
    cpu_limit: float
    memory_request: int
    memory_limit: int
    ephemeral_limit: int


class HostAlias(TypedDict):
    ip: str
    hostnames: list[str]


class Limits(TypedDict, total=False):
    """The site's own limits on a container: `processes` at once; `log_size` bytes of a log file, `log_files` of them
    kept of each run, the oldest going first. Absent: none."""

    processes: int
    log_size: int
    log_files: int


class PodOrder(TypedDict, total=False):
    """All a runner needs. `restarts` carries restart counts of earlier attempts by container name. `cores` is a
    decimal number of cores, `memory` bytes: what the pod asks for in all. `runtime` names the runtime to use.
    `share_processes`: its containers see each other's processes. `inputs` is the version of its volumes' files, which
    `Inputs` counts on from. `ports` are those it claims of its node: where another pod has one of them, nothing of it
    is started and it ends with the reason "NodePorts"."""

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
    share_processes: bool
    ports: list[int]
    host_aliases: list[HostAlias]
    limits: Limits
    inputs: int


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
    bytes of each log file, by its name in the pod's directory; one of no bytes was never made.
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


class Held(TypedDict, total=False):
    """An attempt this runner knows: started at most once by it, never to be started again by anyone. `inputs` is the
    version of what its volumes of files hold (absent: 0)."""

    uid: str
    attempt: int
    ended: bool
    inputs: int


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


class Bye(TypedDict):
    """The last message of a runner that ends in order: every attempt has ended and every event is acknowledged, so its
    allocation is over though the batch system has not said so yet."""

    type: str


# ---- gateway -> runner -------------------------------------------------------------------------------------------


class Welcome(TypedDict):
    """`acked`: the highest event the gateway has stored; everything after it is sent again. A runner that hears
    nothing for `heartbeat` * 3 seconds reconnects; one unheard for `fence_after` kills its pods and exits."""

    type: str
    protocol: int
    session: str
    acked: int
    heartbeat: float
    fence_after: float
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


class Inputs(TypedDict):
    """New content for volumes of kind "files" of an attempt that may be running: each is replaced as a whole, in one
    step. Repeating it is harmless; volumes that are not named stay. `version` grows with each change."""

    type: str
    uid: str
    attempt: int
    version: int
    volumes: list[VolumeOrder]


class Forget(TypedDict):
    """The gateway holds the end of this attempt; its in-memory record may go (its files belong to the gateway)."""

    type: str
    uid: str
    attempt: int


class Drain(TypedDict):
    """No more pods will come: exit when the last one has ended and every event is acknowledged."""

    type: str


class Open(TypedDict, total=False):
    """Opens stream `stream`. The runner sends DATA on it and at last a `close` message with `exit_code` or `error`.
    `kind` is one of

    logs     of a container (options: LogOptions)
    exec     a command in a container (options: ExecOptions)
    attach   to a container's main process (options: AttachOptions); `exit_code` is that of the process
    port     a TCP connection to a port of the pod (options: PortOptions); both directions on STDIN and STDOUT
    stats    one JSON document, NodeStats, of all attempts that are alive; `uid` and `attempt` do not count
    """

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


class AttachOptions(TypedDict, total=False):
    """What of the container's three streams is wanted; a `tty` is the container's own."""

    stdin: bool
    stdout: bool
    stderr: bool
    rows: int
    cols: int


class PortOptions(TypedDict):
    port: int


class GpuStats(TypedDict, total=False):
    """`device` as the batch system named it; `memory` and `memory_total` bytes, `utilization` percent; absent where the
    vendor's tool says nothing."""

    device: str
    memory: int
    memory_total: int
    utilization: float


class ContainerStats(TypedDict, total=False):
    """`cpu` core seconds used since its start, `memory` bytes resident now, `memory_peak` the most seen, `storage`
    bytes it has on the node's disk, `processes` alive now."""

    name: str
    started_at: float
    cpu: float
    memory: int
    memory_peak: int
    storage: int
    processes: int
    gpus: list[GpuStats]


class PodStats(TypedDict):
    uid: str
    attempt: int
    containers: list[ContainerStats]


class NodeStats(TypedDict):
    """`at` by the runner's clock."""

    at: float
    pods: list[PodStats]


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
