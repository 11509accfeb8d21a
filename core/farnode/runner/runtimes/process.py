"""Containers without an image: programs of the node itself.

A container without volumes is started directly: its command line is the command, nothing is in between. One with
volumes is started through `enter` in a user and mount namespace of its own, where volumes, and a /tmp and /dev/shm of
its own, appear at their paths; where a node forbids user namespaces such pods are refused. Either way the environment
is the pod's, with PATH, HOME, TMPDIR and HOSTNAME where it says nothing.

It separates no more than that. A container sees, and may change, all that the site's user can on this node:

    files       the home directory, the spool, other pods' directories with their volumes and secrets; without volumes
                of its own /tmp and /dev/shm, too
    processes   all of the user's, other pods' and the runner among them: their environments, and to end them
    the rest    network, IPC and host name are the node's

So what does not trust each other needs a runtime with images, or allocations of its own. shareProcessNamespace is as
good as given; a root directory that is read-only is refused.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Mapping

from ...wire.messages import PodOrder
from ..limits import gpu
from ..runtime import Command, ContainerSpec, Failure, Mount
from . import batch, launch, program
from .root import in_order

PROBE_TIMEOUT = 10.0


class ProcessRuntime:
    name = "process"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)
        self._refusal: str | None = None
        self._probed = False

    def probe(self) -> str:
        return f"Linux {platform.release()}"

    def check(self, order: PodOrder) -> str | None:
        for container in [*order.get("init_containers", ()), *order.get("containers", ())]:
            if not container.get("command") and not container.get("args"):
                return f"container {container['name']}: it has no image, so it needs a command"
            if container.get("read_only_root"):
                words = "readOnlyRootFilesystem: its root directory is the node's; use a runtime with images"
                return f"container {container['name']}: {words}"
            if (container.get("mounts") or order.get("host_aliases")) and self._no_namespaces() is not None:
                return f"container {container['name']}: volumes cannot be mounted on this node: {self._refusal}"
        return None

    def start(self, spec: ContainerSpec) -> Command:
        env = self._env(spec)
        cwd = spec.working_dir or spec.home
        order: launch.Order = {"kind": "plain", "argv": spec.argv_entry, "env": env, "cwd": cwd, "tty": spec.tty}
        if spec.mounts:
            own = ((spec.tmp, "/tmp"), (spec.shm, "/dev/shm"), (spec.home, spec.home))  # noqa: S108
            mounts = [*(Mount(*each, False) for each in own), *spec.mounts, launch.termination_log(spec)]
            order.update(kind="mounted", mounts=in_order(mounts), root=os.path.join(spec.directory, "root"))
        elif not spec.tty:
            program.find(spec.argv_entry[0], env, program.directory(cwd))
            return Command(spec.argv_entry, env, cwd)
        order["failure"] = launch.failure_path(spec)
        return launch.command(spec, order, batch.for_tools(self._environ))

    def exec(self, spec: ContainerSpec, pid: int, argv: list[str], tty: bool) -> Command:
        env = self._env(spec)
        cwd = spec.working_dir or spec.home
        if not spec.mounts and not tty:
            with contextlib.suppress(ValueError):  # else `enter` finds it out, and says it with an exit status
                program.find(argv[0], env, program.directory(cwd))
                return Command(argv, env, cwd)
        order: launch.Order = {"kind": "plain", "argv": argv, "env": env, "cwd": cwd, "tty": tty}
        if spec.mounts:
            order.update(kind="joined", pid=pid)
        return launch.command(spec, order, batch.for_tools(self._environ))

    def outcome(self, spec: ContainerSpec, exit_code: int, stderr_tail: bytes) -> Failure | None:  # noqa: ARG002
        return launch.failure(spec)

    def _env(self, spec: ContainerSpec) -> dict[str, str]:
        return {
            "PATH": program.DEFAULT_PATH,
            "HOME": spec.home,
            "TMPDIR": "/tmp" if spec.mounts else spec.tmp,  # noqa: S108
            "HOSTNAME": spec.hostname,
            **batch.for_pod(self._environ, spec.mpi),
            **spec.env,
            **gpu.visible(self._environ, spec.gpus),
        }

    def _no_namespaces(self) -> str | None:
        """Words why no namespace can be made here, or None; found out once, by making one."""
        if not self._probed:
            self._probed = True
            try:
                argv = launch.interpreter("probe")
                done = subprocess.run(argv, capture_output=True, timeout=PROBE_TIMEOUT, check=False)
                self._refusal = done.stderr.decode(errors="replace").strip()[-500:] if done.returncode else None
            except (OSError, subprocess.TimeoutExpired) as error:
                self._refusal = str(error)
        return self._refusal
