"""What all runtimes have in common that run a container from an image through `enter`: the hand-over."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Mapping, Sequence

from ...wire.messages import PodOrder
from ..limits import gpu
from ..runtime import Command, ContainerSpec, Failure, Mount, NotYet
from . import batch, holder, launch, terminal

RUNSCRIPT = "/.singularity.d/runscript"
"""What an image of apptainer's own form runs."""


class ImageRuntime:
    def __init__(self, name: str, programs: Sequence[str], environ: Mapping[str, str]) -> None:
        """`path` is the first of the tool's `programs` that is on PATH, or empty. `environ` is the batch job's; the
        holder is put into FARNODE_ALLOCATION, where programs may be executed."""
        self.name = name
        self._programs = programs
        self.environ = dict(environ)
        self.path = next(filter(None, map(shutil.which, programs)), "")
        self.allocation = environ.get("FARNODE_ALLOCATION", "")
        self.holder = os.path.join(self.allocation, holder.NAME)

    def prepare(self) -> None:
        """Raises OSError or ValueError with words where nothing can be started here."""
        if not self.path:
            raise ValueError(f"there is no {' or '.join(self._programs)} on PATH")
        if not self.allocation:
            raise ValueError("FARNODE_ALLOCATION is not set")
        try:
            holder.provide(self.holder)
        except KeyError as machine:
            raise ValueError(f"images cannot be run on machines of type {machine}") from None

    def version(self, env: Mapping[str, str]) -> str:
        """What the tool says of itself in the environment `env`."""
        words = launch.output([self.path, "--version"], env)
        return words if " " in words else f"{os.path.basename(self.path)} {words}"

    def check(self, order: PodOrder) -> str | None:
        for each in [*order.get("init_containers", ()), *order.get("containers", ())]:
            path = each.get("image", {}).get("path", "")
            words = self.check_image(path) if os.path.isabs(path) else "its image has not been made ready for this site"
            if words:
                return f"container {each['name']}: {words}"
        return None

    def check_image(self, path: str) -> str | None:  # noqa: ARG002
        """Words why it cannot run the image at `path`, or None."""
        return None

    def exec(self, spec: ContainerSpec, pid: int, argv: list[str], tty: bool) -> Command:  # noqa: ARG002
        try:
            with open(state_path(spec), encoding="ascii") as file:
                holder_pid, start_time = map(int, file.read().split())
        except (OSError, ValueError):
            raise NotYet("the container is just being started or has ended") from None
        order = {**self.order(spec, argv, tty), "kind": "inside", "pid": holder_pid, "start_time": start_time}
        order["terminal"] = f"/dev/tty-{os.urandom(4).hex()}"
        return launch.command(spec, order, batch.for_tools(self.environ))

    def outcome(self, spec: ContainerSpec, exit_code: int, stderr_tail: bytes) -> Failure | None:  # noqa: ARG002
        return launch.failure(spec)

    def order(self, spec: ContainerSpec, argv: list[str], tty: bool) -> launch.Order:
        """What every order to run a program in a container says."""
        return {
            "by": self.name,
            "argv": argv,
            "env": self.env(spec),
            "cwd": spec.working_dir or spec.image.get("working_dir") or "/",
            "tty": tty,
            "terminal": terminal.MAIN,
            "hostname": spec.hostname,
            "gpus": bool(spec.gpus),
        }

    def env(self, spec: ContainerSpec) -> dict[str, str]:
        return {
            "HOME": self.home(),
            "HOSTNAME": spec.hostname,
            **batch.for_pod(self.environ, spec.mpi),
            **spec.env,
            **gpu.visible(self.environ, spec.gpus),
        }

    def home(self) -> str:
        return home_directory()


def mounts(spec: ContainerSpec, home: str | None) -> list[Mount]:
    """All of a container but its shared memory: what is its own on the node's disk, then the pod's volumes. A root
    directory that is read-only has no such places."""
    own = [] if spec.read_only_root else [(spec.tmp, "/tmp"), (spec.tmp, "/var/tmp")]  # noqa: S108
    if home and not spec.read_only_root:
        own.append((spec.home, home))
    return [*(Mount(*each, False) for each in own), *spec.mounts, launch.termination_log(spec)]


def state_path(spec: ContainerSpec) -> str:
    """Where the holder's pid and start time are written."""
    return os.path.join(spec.directory, "state")


def user() -> tuple[str, int, int, str]:
    """Name, numbers and home directory of the site's user."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = "pod"
    return name, os.getuid(), os.getgid(), home_directory()


def home_directory() -> str:
    """That of the user, whom apptainer writes into the container's /etc/passwd."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/home/pod"
