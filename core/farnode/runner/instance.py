"""One run of a container: from its specification to its end, and nothing about whether it runs again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import replace

from ..wire.messages import ContainerOrder
from . import environment, pty, volumes
from .attempt import Attempt
from .capture import Capture, LogFile
from .children import Child
from .leftovers import Mark, kill_trees, tree
from .runtime import ContainerSpec, Mount
from .state import Terminated
from .termination import message_of

DRAIN = 2.0
"""Seconds to wait for the rest of the output when all known processes are gone but someone holds the pipe."""
START_ERROR = 128


class Instance:
    """Construction sets it up and starts it; raises OSError or ValueError with words when that cannot be."""

    def __init__(self, attempt: Attempt, order: ContainerOrder, gpus: Sequence[str], log: LogFile) -> None:
        self.log = log
        self.execs: set[int] = set()
        self._attempt = attempt
        self._order = order
        self._mark = Mark(attempt.key, order["name"])
        self.spec = self._specify(gpus)
        self._captures: list[Capture] = []
        self.child = self._start()
        self.started_at = attempt.host.clock.time()

    def marks(self) -> dict[str, str]:
        """Variables by which every process of the container can be found."""
        return {**self._mark.variables(), "FARNODE_NONCE": self._attempt.host.nonce}

    def pids(self) -> list[int]:
        """The processes of it that are known: the main one, those run in it by exec, and all below them."""
        return tree([self.child.pid, *self.execs])

    def terminate(self) -> None:
        """SIGTERM to the main process, as to a container's process 1."""
        if not self.child.exited.done():
            os.kill(self.child.pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to all of it; what escapes is cleared when the main process has ended."""
        if not self.child.exited.done():
            kill_trees([self.child.pid])
            with contextlib.suppress(OSError):
                os.killpg(self.child.pid, signal.SIGKILL)

    async def finish(self) -> Terminated:
        """Wait for its end; when this returns no process of it lives and its log is complete."""
        code = await self.child.exited
        finished_at = self._attempt.host.clock.time()
        kill_trees(self.execs)
        await self._attempt.host.leftovers.clear(self._mark, self.child.pid)
        await self._drain()
        self.log.end()
        return self._outcome(code, finished_at)

    def _specify(self, gpus: Sequence[str]) -> ContainerSpec:
        order, attempt = self._order, self._attempt
        image = order.get("image", {})
        variables = environment.pod_variables(order.get("env", ()), attempt.fields)
        hostname = attempt.order.get("hostname") or attempt.order.get("name", "")
        base = {"HOSTNAME": hostname, "TERM": "xterm"} if order.get("tty") else {"HOSTNAME": hostname}
        directories = attempt.directories.container(order["name"])
        message_path = order.get("termination_message_path") or "/dev/termination-log"
        return ContainerSpec(
            name=order["name"],
            argv_entry=environment.command_line(order, variables),
            env={**base, **environment.image_variables(image), **variables, **self.marks()},
            working_dir=order.get("working_dir") or image.get("working_dir") or None,
            mounts=volumes.mounts(order.get("mounts", ()), attempt.volumes),
            image=image,
            tty=order.get("tty", False),
            gpus=list(gpus),
            home=directories.home,
            tmp=directories.tmp,
            shm=attempt.directories.shm,
            directory=directories.run,
            hostname=hostname,
            mpi=attempt.order.get("mpi", False),
            termination_log=Mount(directories.termination_log, message_path, False),
        )

    def _start(self) -> Child:
        command = self._attempt.runtime.start(self.spec)
        command = replace(command, env={**command.env, **self.marks()}, cwd=command.cwd or self.spec.home)
        outputs = [pty.open_terminal()] if self.spec.tty else [os.pipe(), os.pipe()]
        out, err = outputs[0][1], outputs[-1][1]
        try:
            stdio = (out if self.spec.tty else None, out, err)
            child = self._attempt.host.children.start(command, stdio)
        except BaseException:
            for ours, _ in outputs:
                os.close(ours)
            raise
        finally:
            for _, theirs in outputs:
                os.close(theirs)
        self._captures = [Capture(ours, name, self.log) for (ours, _), name in zip(outputs, ("stdout", "stderr"))]
        return child

    async def _drain(self) -> None:
        pending = [capture.closed for capture in self._captures if not capture.closed.done()]
        if pending:
            await asyncio.wait(pending, timeout=DRAIN)
        for capture in self._captures:
            capture.close()

    def _outcome(self, code: int, finished_at: float) -> Terminated:
        message = message_of(self._order, self.spec.termination_log.source, self.log.path, failed=code != 0)
        failure = self._attempt.runtime.outcome(self.spec, code, self._captures[-1].tail) if code else None
        if failure is not None:
            return Terminated(START_ERROR, failure.reason, failure.message, self.started_at, finished_at)
        reason = "Error" if code else "Completed"
        return Terminated(code, reason, message, self.started_at, finished_at)
