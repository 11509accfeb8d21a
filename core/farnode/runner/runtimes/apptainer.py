"""Containers from images, by apptainer or singularity as an ordinary user in a user namespace.

Apptainer is asked for as little as can be: mount the image, make namespaces, keep them (see `apptainer_container`).
Its command line is the same for every container but for the image's path, which the gateway chose. Not on it, nor in
the variables of its environment: the program, its arguments, the environment, mount paths, the working directory, the
host name. The program's own arguments are on the program's own command line and nowhere else.

The root directory can be written to, in memory and within what the site's `sessiondir max size` allows (64 MiB unless
changed); /tmp, /var/tmp, /dev/shm and the home directory are the pod's own directories. A process namespace is used
where the node permits one; without it leftovers are the runner's to kill, and containers see each other's processes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping

from ...wire.messages import PodOrder
from ..runtime import Command, ContainerSpec, Mount
from . import apptainer_container, batch, holder, image, launch
from .root import in_order

ISOLATION = ("--userns", "--contain", "--ipc", "--uts", "--cleanenv", "--no-home", "--writable-tmpfs", "--pwd", "/")
SKELETON = ("dev", "proc", "sys", "etc", "tmp", "var/tmp", "root")
"""Directories without which apptainer cannot start an image."""
INSIDE_HOLDER = f"{apptainer_container.INSIDE}/{holder.NAME}"


class ApptainerRuntime(image.ImageRuntime):
    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__("apptainer", ("apptainer", "singularity"), environ)
        self._variable = f"{os.path.basename(self.path).upper()}_BIND"
        self._isolation: tuple[str, ...] = ()

    def probe(self) -> str:
        """By running a container whose image has nothing in it."""
        self.prepare()
        words = ""
        with tempfile.TemporaryDirectory(prefix="farnode-") as empty:
            for name in SKELETON:
                os.makedirs(os.path.join(empty, name))
            for flags in ((*ISOLATION, "--pid"), ISOLATION):
                words = self._try(flags, empty)
                if not words:
                    self._isolation = flags
                    return self.version(batch.for_tools(self.environ))
        raise ValueError(words)

    def check(self, order: PodOrder) -> str | None:
        if order.get("share_processes"):
            return "shareProcessNamespace: apptainer cannot; use runtime podman, charliecloud or bubblewrap"
        return super().check(order)

    def start(self, spec: ContainerSpec) -> Command:
        if any(mark in spec.directory + self.holder for mark in ",:"):
            raise ValueError(f"the directories {spec.directory} and {self.holder} may hold neither comma nor colon")
        order = {
            **self.order(spec, spec.argv_entry or [image.RUNSCRIPT], spec.tty),
            "kind": "apptainer",
            "tool": [self.path, "exec", *self._isolation, *gpu_flags(spec), spec.image["path"], INSIDE_HOLDER],
            "tool_env": batch.for_tools(self.environ),
            "bind_variable": self._variable,
            "holder": self.holder,
            "mounts": in_order([Mount(spec.shm, "/dev/shm", False), *image.mounts(spec, self.home())]),  # noqa: S108
            "user": image.user(),
            "read_only_root": spec.read_only_root,
            "stage": os.path.join(spec.directory, "mounts"),
            "log": os.path.join(spec.directory, "tool.log"),
            "state": image.state_path(spec),
            "failure": launch.failure_path(spec),
        }
        return launch.command(spec, order, batch.for_tools(self.environ))

    def _try(self, flags: tuple[str, ...], empty: str) -> str:
        """Words why a container cannot be made with these flags; none when it can."""
        env = {**batch.for_tools(self.environ), self._variable: f"{self.holder}:{INSIDE_HOLDER}"}
        said, words = launch.attempt([self.path, "exec", *flags, empty, INSIDE_HOLDER], env)
        return "" if said == holder.SIGN else words or "it ended without a word"


def gpu_flags(spec: ContainerSpec) -> list[str]:
    """By what the node has: a batch system may name the devices in every vendor's variables."""
    if not spec.gpus:
        return []
    return [flag for flag, device in (("--nv", "/dev/nvidiactl"), ("--rocm", "/dev/kfd")) if os.path.exists(device)]
