"""Containers from images, by apptainer or singularity as an ordinary user in a user namespace.

Apptainer is asked for as little as can be: mount the image, make namespaces, keep them (see `container`). Its command
line is the same for every container but for the image's path, which the gateway chose. Not on it, nor in the variables
of its environment: the program, its arguments, the environment, mount paths, the working directory, the host name. The
program's own arguments are on the program's own command line and nowhere else.

The root directory can be written to, in memory and within what the site's `sessiondir max size` allows (64 MiB unless
changed); /tmp, /var/tmp, /dev/shm and the home directory are the pod's own directories. A process namespace is used
where the node permits one; without it leftovers are the runner's to kill.
"""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping

from ...wire.messages import PodOrder
from .. import gpu
from ..runtime import Command, ContainerSpec, Failure, Mount, NotYet
from . import batch, container, holder, launch
from .root import in_order

ISOLATION = ("--userns", "--contain", "--ipc", "--uts", "--cleanenv", "--no-home", "--writable-tmpfs", "--pwd", "/")
PROBE_TIMEOUT = 30.0
SKELETON = ("dev", "proc", "sys", "etc", "tmp", "var/tmp", "root")
"""Directories without which apptainer cannot start an image."""
RUNSCRIPT = "/.singularity.d/runscript"

logger = logging.getLogger(__name__)


class ApptainerRuntime:
    name = "apptainer"

    def __init__(self, environ: Mapping[str, str]) -> None:
        """`environ` is the batch job's; the holder is put into FARNODE_ALLOCATION, where programs may be executed."""
        self._environ = dict(environ)
        self._tool = shutil.which("apptainer") or shutil.which("singularity") or ""
        self._variable = f"{os.path.basename(self._tool).upper()}_BIND"
        self._holder = os.path.join(environ.get("FARNODE_ALLOCATION", ""), holder.NAME)
        self._isolation: tuple[str, ...] = ()

    def probe(self) -> str | None:
        """By running a container whose image has nothing in it."""
        if not self._tool or not self._environ.get("FARNODE_ALLOCATION"):
            return None
        try:
            holder.write(self._holder)
            with tempfile.TemporaryDirectory(prefix="farnode-") as image:
                for name in SKELETON:
                    os.makedirs(os.path.join(image, name))
                for flags in ((*ISOLATION, "--pid"), ISOLATION):
                    words = self._try(flags, image)
                    if not words:
                        self._isolation = flags
                        return self._version()
            logger.warning("%s does not work on this node: %s", self._tool, words)
        except (OSError, KeyError, subprocess.SubprocessError) as error:
            logger.warning("%s cannot be used on this node: %r", self._tool, error)
        return None

    def check(self, order: PodOrder) -> str | None:
        for each in [*order.get("init_containers", ()), *order.get("containers", ())]:
            path = each.get("image", {}).get("path", "")
            if not os.path.isabs(path):
                return f"container {each['name']}: its image has not been made ready for this site"
        return None

    def start(self, spec: ContainerSpec) -> Command:
        launch.forget_failure(spec)
        if any(mark in spec.directory + self._holder for mark in ",:"):
            raise ValueError(f"the directories {spec.directory} and {self._holder} may hold neither comma nor colon")
        own = ((spec.tmp, "/tmp"), (spec.tmp, "/var/tmp"), (spec.shm, "/dev/shm"), (spec.home, home_directory()))  # noqa: S108
        mounts = [*(Mount(*each, False) for each in own), *spec.mounts, spec.termination_log]
        order = {
            **self._order(spec, spec.argv_entry or [RUNSCRIPT], spec.tty),
            "kind": "image",
            "tool": [self._tool, "exec", *self._isolation, *gpu_flags(spec), spec.image["path"], INSIDE_HOLDER],
            "tool_env": batch.for_tools(self._environ),
            "bind_variable": self._variable,
            "holder": self._holder,
            "mounts": in_order(mounts),
            "stage": os.path.join(spec.directory, "mounts"),
            "log": os.path.join(spec.directory, "apptainer.log"),
            "state": state_path(spec),
            "failure": launch.failure_path(spec),
        }
        return launch.command(spec, order, batch.for_tools(self._environ))

    def exec(self, spec: ContainerSpec, pid: int, argv: list[str], tty: bool) -> Command:  # noqa: ARG002
        try:
            with open(state_path(spec), encoding="ascii") as file:
                holder_pid, start_time = map(int, file.read().split())
        except (OSError, ValueError):
            raise NotYet("the container is just being started or has ended") from None
        order = {**self._order(spec, argv, tty), "kind": "inside", "pid": holder_pid, "start_time": start_time}
        return launch.command(spec, order, batch.for_tools(self._environ))

    def outcome(self, spec: ContainerSpec, exit_code: int, stderr_tail: bytes) -> Failure | None:  # noqa: ARG002
        return launch.failure(spec)

    def _order(self, spec: ContainerSpec, argv: list[str], tty: bool) -> launch.Order:
        env = {
            "HOME": home_directory(),
            "HOSTNAME": spec.hostname,
            **batch.for_pod(self._environ, spec.mpi),
            **spec.env,
            **gpu.visible(self._environ, spec.gpus),
        }
        cwd = spec.working_dir or spec.image.get("working_dir") or "/"
        return {"argv": argv, "env": env, "cwd": cwd, "tty": tty, "hostname": spec.hostname, "gpus": bool(spec.gpus)}

    def _try(self, flags: tuple[str, ...], image: str) -> str:
        """Words why a container cannot be made with these flags; none when it can."""
        env = {**batch.for_tools(self._environ), self._variable: f"{self._holder}:{INSIDE_HOLDER}"}
        argv = [self._tool, "exec", *flags, image, INSIDE_HOLDER]
        done = subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_TIMEOUT, check=False
        )
        return "" if done.stdout == holder.SIGN else done.stderr.decode(errors="replace").strip()[-500:] or "no word"

    def _version(self) -> str:
        done = subprocess.run([self._tool, "--version"], capture_output=True, timeout=PROBE_TIMEOUT, check=False)
        return done.stdout.decode(errors="replace").strip() or os.path.basename(self._tool)


INSIDE_HOLDER = f"{container.INSIDE}/{holder.NAME}"


def state_path(spec: ContainerSpec) -> str:
    """Where the holder's pid and start time are written."""
    return os.path.join(spec.directory, "state")


def gpu_flags(spec: ContainerSpec) -> list[str]:
    """By what the node has: a batch system may name the devices in every vendor's variables."""
    if not spec.gpus:
        return []
    return [flag for flag, device in (("--nv", "/dev/nvidiactl"), ("--rocm", "/dev/kfd")) if os.path.exists(device)]


def home_directory() -> str:
    """That of the user, whom apptainer writes into the container's /etc/passwd."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/home/pod"
