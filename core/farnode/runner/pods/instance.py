"""One run of a container: from its specification to its end, and nothing about whether it runs again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...wire.messages import ContainerOrder
from ..limits.census import Resident
from ..limits.judgement import OOM_KILLED
from ..limits.usage import Subject
from ..output.capture import LogFile
from ..output.stdio import StandardStreams
from ..processes.children import Child
from ..processes.leftovers import Mark, kill_trees, tree
from ..runtime import Command, ContainerSpec, Mount, NotYet
from . import environment
from .attempt import Attempt
from .beginning import Beginning
from .signals import stop_signal
from .state import Terminated
from .termination import message_of

DRAIN = 2.0
"""Seconds to wait for the rest of the output when all known processes are gone but someone holds the pipe."""
SETTING_UP = 0.05
"""Seconds between two tries to enter a container that is being set up."""
START_ERROR = 128
KILLED = 128 + signal.SIGKILL


class Instance:
    """Construction sets it up and starts it; raises OSError or ValueError with words when that cannot be."""

    def __init__(self, attempt: Attempt, order: ContainerOrder, gpus: Sequence[str], log: LogFile) -> None:
        self.log = log
        self.execs: set[int] = set()
        self._attempt = attempt
        self._order = order
        self._mark = Mark(attempt.key, order["name"])
        self._killed = False
        self._sentence: tuple[str, str] | None = None
        self.beginning = Beginning()
        self.spec = self._specify(gpus)
        self.confines = attempt.host.resources.confine(attempt.order, order)
        try:
            self.child = self._start()
        except BaseException:
            attempt.host.resources.release(self.confines)
            raise
        attempt.host.resources.watch.add(self)
        self.started_at = attempt.host.clock.time()

    async def begun(self) -> bool:
        """Whether its program runs, once that is known; or whether it has, and came to its end at once."""
        if self.beginning.is_program:
            return True
        ends: set[asyncio.Future[Any]] = {self.beginning.over, self.child.exited}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if self.beginning.over.done() and self._attempt.runtime.outcome(self.spec, START_ERROR, b"") is None:
            self.started_at = self._attempt.host.clock.time()
            return True
        return False

    async def one_more(self, argv: Sequence[str], tty: bool = False) -> Command:
        """The command of one more process in it, as soon as it can be entered; OSError or ValueError with words when it
        cannot be."""
        env = {"TERM": "xterm", **self.spec.env} if tty else self.spec.env
        spec = replace(self.spec, env=env, began=None)
        while not self.child.exited.done():
            try:
                return self._held(self._attempt.runtime.exec(spec, self.child.pid, list(argv), tty))
            except NotYet:
                await asyncio.wait({self.child.exited}, timeout=SETTING_UP)
        raise ValueError("the container is not running")

    def subject(self) -> Subject:
        """It as those see it who watch what it uses."""
        resident = Resident((self.child.pid, *self.execs), self.child.pid, self._mark)
        return Subject(
            self._attempt.key, resident, self._attempt.in_memory, self.confines.memory, self.confines.processes
        )

    def pids(self) -> list[int]:
        """The processes of it that are known: the main one, those run in it by exec, daemons, and all below them."""
        return tree([self.child.pid, *self.execs, *self._attempt.host.leftovers.of(self._mark, self.child.pid)])

    def terminate(self) -> None:
        """Its stop signal to the main process, as to a container's process 1."""
        if not self.child.exited.done():
            os.kill(self.child.pid, stop_signal(self._order))

    def kill(self) -> None:
        """SIGKILL to all of it; what escapes is cleared when the main process has ended."""
        self._killed = True
        if not self.child.exited.done():
            with contextlib.suppress(OSError):
                os.killpg(self.child.pid, signal.SIGKILL)  # at once, with what it forks while we look
            kill_trees([self.child.pid])

    def condemn(self, reason: str, message: str) -> None:
        """Kill it because it uses more than it may."""
        self._sentence = self._sentence or (reason, message)
        self.kill()

    async def finish(self) -> Terminated:
        """Wait for its end; when this returns no process of it lives and its log is complete."""
        resources = self._attempt.host.resources
        try:
            code = await self.child.exited
            self.beginning.close()
            finished_at = self._attempt.host.clock.time()
            kill_trees(self.execs)
            await self._attempt.host.leftovers.gone(self.execs)
            if await self._attempt.host.leftovers.clear(self._mark, self.child.pid):
                self._attempt.directories.users.discard(self)
            await self._drain()
            self.log.end()
            return self._outcome(code, finished_at)
        finally:
            resources.watch.remove(self)
            resources.release(self.confines)

    def _specify(self, gpus: Sequence[str]) -> ContainerSpec:
        order, attempt = self._order, self._attempt
        image = order.get("image", {})
        env = order.get("env")
        variables = environment.pod_variables(env, attempt.fields) if env else {}
        hostname = attempt.order.get("hostname") or attempt.order.get("name", "")
        base = {"HOSTNAME": hostname, "TERM": "xterm"} if order.get("tty") else {"HOSTNAME": hostname}
        directories = attempt.directories.container(order["name"])
        nonce = {"FARNODE_NONCE": attempt.host.nonce}
        message_path = order.get("termination_message_path") or "/dev/termination-log"
        return ContainerSpec(
            name=order["name"],
            argv_entry=environment.command_line(order, variables),
            env={**base, **environment.image_variables(image), **variables, **self._mark.variables(), **nonce},
            working_dir=order.get("working_dir") or image.get("working_dir") or None,
            mounts=attempt.volumes.mounts(order.get("mounts", ()), variables),
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
            read_only_root=order.get("read_only_root", False),
            processes=attempt.directories.processes() if attempt.order.get("share_processes") else None,
            root_size=min(filter(None, (order.get("ephemeral_limit"), order.get("memory_limit"))), default=0),
            process_limit=attempt.order.get("limits", {}).get("processes", 0),
            began=self.beginning.offer,
        )

    def _start(self) -> Child:
        try:
            child = self._spawn(self._held(self._attempt.runtime.start(self.spec)))
        except BaseException:
            self.beginning.abandon()
            raise
        self.beginning.handed_over()
        self._attempt.directories.users.add(self)
        return child

    def _held(self, command: Command) -> Command:
        return self.confines.hold(command if command.cwd else command._replace(cwd=self.spec.home))

    def _spawn(self, command: Command) -> Child:
        self.streams = StandardStreams(self._order, self._attempt.host.readers)
        try:
            child = self._attempt.host.children.start(command, self.streams.theirs)
        except BaseException:
            self.streams.abandon()
            raise
        self.streams.begin(self.log)
        return child

    async def _drain(self) -> None:
        for capture in self.streams.captures:
            capture.read()
        pending = [capture.closed for capture in self.streams.captures if not capture.closed.done()]
        if pending:
            await asyncio.wait(pending, timeout=DRAIN)
        self.streams.close()

    def _outcome(self, code: int, finished_at: float) -> Terminated:
        message = message_of(self._order, self.spec.termination_log.source, self.log.path, failed=code != 0)
        failure = self._attempt.runtime.outcome(self.spec, code, self.streams.captures[-1].tail) if code else None
        if failure is not None:
            return Terminated(START_ERROR, failure.reason, failure.message, self.started_at, finished_at)
        reason, words = self._why_killed() if code == KILLED else ("Error" if code else "Completed", "")
        return Terminated(code, reason, words or message, self.started_at, finished_at)

    def _why_killed(self) -> tuple[str, str]:
        """By us for what it used, by the kernel for its memory, or by anyone."""
        if self._sentence is not None:
            return self._sentence
        group, kills = self.confines.group, self._attempt.host.resources.kills
        if (group is not None and group.killed) or (not self._killed and kills.recent):
            return OOM_KILLED, ""
        return "Error", ""
