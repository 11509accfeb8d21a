"""The port between pods and what runs their containers (plain processes, or tools of the site for images).

A runtime only says *what to start*; it never starts, watches or kills anything: processes, logs, restarts and grace
exist once, in the runner. So a runtime is a function from a container to a command line, and testable as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, NamedTuple, Protocol

from ..wire.messages import ImageOrder, PodOrder


class Command(NamedTuple):
    """A process to start on the node. `env` is exact: nothing is inherited. `argv[0]` without a slash is looked for
    on `env`'s PATH. `cwd` None is the container's home. It begins on `cpus` (none: the runner's), with this
    `oom_score` (None: the runner's), and is put into the cgroup `group` ("": the runner's). `began` is a descriptor
    that it inherits and closes when the program runs (None: it is the program)."""

    argv: list[str]
    env: dict[str, str]
    cwd: str | None
    cpus: frozenset[int] = frozenset()
    oom_score: int | None = None
    group: str = ""
    began: int | None = None


class Mount(NamedTuple):
    """`source` exists on the node (a directory or a file) and shall appear as `target` in the container."""

    source: str
    target: str
    read_only: bool


class Failure(NamedTuple):
    """The runtime could not run the program: a container's `reason` (StartError, ContainerCannotRun) and words."""

    reason: str
    message: str


@dataclass(frozen=True)
class ContainerSpec:
    """One container, resolved: nothing in it is expanded any more.

    `argv_entry` is ENTRYPOINT and arguments; empty: what the image says. `env` is the image's and the pod's, with the
    marks (FARNODE_ATTEMPT, FARNODE_CONTAINER, FARNODE_NONCE) that must reach every process of the container: leftovers
    are found by them. `gpus` are device names of the allocation. `home`, `tmp` and `shm` are directories of the node
    that exist; `directory` is the runtime's own for this run, to be made (mode 0700) by it where it needs one. The
    source of `termination_log` is a file to appear where the pod says, to be made (empty, mode 0600) by a runtime that
    can show single files. `read_only_root`: nothing but volumes, /dev and what is mounted there can be written to.
    `processes` is a directory of the attempt's, where containers that see each other's processes find each other;
    None: they do not. `process_limit`: processes and threads at once, 0 any number; where a container has a user
    namespace of its own. `root_size`: bytes that may be written to the root directory where that is kept in memory, 0
    any number. `began` makes the descriptor of that name for the command; None: nobody waits.
    """

    name: str
    argv_entry: list[str]
    env: dict[str, str]
    working_dir: str | None
    mounts: list[Mount]
    image: ImageOrder
    tty: bool
    gpus: list[str]
    home: str
    tmp: str
    shm: str
    directory: str
    hostname: str
    mpi: bool
    termination_log: Mount
    read_only_root: bool = False
    processes: str | None = None
    process_limit: int = 0
    root_size: int = 0
    began: Callable[[], int] | None = None


class NotYet(ValueError):
    """The container is still being set up: it can be entered a moment later."""


class Runtime(Protocol):
    """Errors: `start` and `exec` raise OSError or ValueError with words when the container cannot be set up."""

    name: str

    def probe(self) -> str:
        """Its version in words; ValueError or OSError with words where it cannot work on this node."""

    def check(self, order: PodOrder) -> str | None:
        """Words why it cannot run this pod, or None."""

    def start(self, spec: ContainerSpec) -> Command:
        """What to start for the container's main process."""

    def exec(self, spec: ContainerSpec, pid: int, argv: list[str], tty: bool) -> Command:
        """What to start for one more process in the container; `pid` is that of the process `start` described."""

    def outcome(self, spec: ContainerSpec, exit_code: int, stderr_tail: bytes) -> Failure | None:
        """Its own failure told apart from the program's; None where the exit code is the program's."""
