"""Pods in this process: real programs, a clock that goes where it is told, and events in a list."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import heapq
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from farnode.runner.clock import Timer
from farnode.runner.limits.devices import Devices
from farnode.runner.limits.resources import Resources
from farnode.runner.output.pipes import Readers
from farnode.runner.pods.attempt import Host
from farnode.runner.processes.children import PR_SET_CHILD_SUBREAPER, Children
from farnode.runner.processes.leftovers import Leftovers, kill_trees, own_children
from farnode.runner.roster import Roster
from farnode.runner.runtime import Command, ContainerSpec, Failure
from farnode.runner.storage.scratch import Scratch
from farnode.wire.messages import PodOrder

PATIENCE = 20.0


class FakeTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    def __init__(self) -> None:
        self._now = 1_000_000_000.0
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self._now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = FakeTimer(callback)
        heapq.heappush(self._timers, (self._now + seconds, next(self._order), timer))
        return timer

    @property
    def armed(self) -> bool:
        return any(timer.callback is not None for _, _, timer in self._timers)

    def advance(self, seconds: float) -> None:
        until = self._now + seconds
        while self._timers and self._timers[0][0] <= until:
            self._now, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()
        self._now = until


class PlainRuntime:
    """Programs as they are. `fail` makes it report a failure of its own."""

    name = "plain"
    fail: Failure | None = None
    refuse: str | None = None

    def probe(self) -> str | None:
        return "1"

    def check(self, order: PodOrder) -> str | None:
        return self.refuse

    def start(self, spec: ContainerSpec) -> Command:
        Path(spec.directory).mkdir(exist_ok=True)
        volumes = {f"V{mount.target.replace('/', '_')}": mount.source for mount in spec.mounts}
        marks = {"LAST_WORDS": spec.termination_log.source, "GPUS": ",".join(spec.gpus), **volumes}
        return Command(spec.argv_entry, {"PATH": "/usr/bin:/bin", **marks, **spec.env}, spec.working_dir)

    def exec(self, spec: ContainerSpec, pid: int, argv: list[str], tty: bool) -> Command:
        return Command(argv, {"PATH": "/usr/bin:/bin", **spec.env}, spec.working_dir)

    def outcome(self, spec: ContainerSpec, exit_code: int, stderr_tail: bytes) -> Failure | None:
        return self.fail


class Stage:
    def __init__(self, directory: Path, gpus: list[str]) -> None:
        self.clock = FakeClock()
        self.runtime = PlainRuntime()
        self.events: list[Any] = []
        self.spool = directory
        self.children = Children()
        self.scratch = Scratch({"FARNODE_SCRATCH": str(directory)}, "n0nce")
        host = Host(
            spool=str(directory),
            nonce="n0nce",
            name="here",
            address="192.0.2.7",
            scratch=self.scratch,
            runtimes={"plain": self.runtime},
            children=self.children,
            leftovers=Leftovers(self.children),
            clock=self.clock,
            resources=Resources(self.clock, os.sched_getaffinity(0), 8 << 30),
            readers=Readers(),
        )
        self.host = host
        self.roster = Roster(host, Devices(gpus), self._record)
        self._news = asyncio.Condition()
        self._tellers: set[asyncio.Task[None]] = set()

    def start(self, **order: Any) -> None:
        self.roster.start(self.order(**order))

    def order(self, **fields: Any) -> Any:
        return {
            "uid": "u1",
            "attempt": 1,
            "namespace": "ns",
            "name": "pod",
            "runtime": "plain",
            "restart_policy": "Never",
            "grace": 5.0,
            **fields,
        }

    def stop(self, **fields: Any) -> None:
        message: Any = {"type": "stop", "uid": "u1", "attempt": 1, **fields}
        self.roster.stop(message)

    async def until(self, test: Callable[[Any], Any], after: int = 0) -> Any:
        """The first event (counted from `after`) that passes."""
        async with asyncio.timeout(PATIENCE), self._news:
            return await self._news.wait_for(lambda: next(filter(test, self.events[after:]), None))

    async def ended(self, uid: str = "u1", attempt: int = 1) -> Any:
        return await self.until(lambda event: event["ended"] and event["uid"] == uid and event["attempt"] == attempt)

    def log(self, container: str = "main", restart: int = 0) -> str:
        lines = (self.spool / f"pods/u1/1.{container}.{restart}.log").read_text().splitlines()
        return "".join(line.split(" ", 3)[3] + "\n" for line in lines)

    async def printed(self, text: str, container: str = "main") -> None:
        """Return when the container has printed it."""
        await self.happens(lambda: self._logs(container))
        async with asyncio.timeout(PATIENCE):
            log = self._logs(container)[-1]
            while not log.size or text not in read(log.path):
                assert not log.ended, log.size
                await log.grown(log.size)

    def now(self, uid: str = "u1") -> Any:
        """The pod's state, said or not."""
        pod = self.roster.get(uid, 1)
        assert pod is not None
        inits, containers = ([one.status() for one in kind] for kind in (pod.inits, pod.containers))
        return {"init_containers": inits, "containers": containers}

    def now_asking(self) -> bool:
        """Whether a probe of the pod waits for its answer."""
        pod = self.roster.get("u1", 1)
        runs = [one._run for one in pod.inits + pod.containers] if pod else []
        probers = [run._prober for run in runs if run is not None]
        return any(watch.asking for prober in probers if prober is not None for watch in prober._watches.values())

    async def calm(self) -> None:
        """Return when what has just been begun waits for time or processes."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def happens(self, test: Callable[[], Any]) -> None:
        """Return when it is true, without a moment of the stage's own time."""
        async with asyncio.timeout(PATIENCE):
            while not test():
                await asyncio.sleep(0.002)

    def notes(self, reason: str) -> list[str]:
        """Messages of all notes of a reason."""
        return [note["message"] for event in self.events for note in event["notes"] if note["reason"] == reason]

    def _logs(self, container: str) -> Any:
        pod = self.roster.get("u1", 1)
        found = pod.container(container) if pod else None
        return found.logs if found else []

    def _record(self, events: Any) -> None:
        self.events += events
        task = asyncio.ensure_future(self._tell())
        self._tellers.add(task)
        task.add_done_callback(self._tellers.discard)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


@contextlib.asynccontextmanager
async def stage(directory: Path, gpus: list[str] | None = None) -> AsyncIterator[Stage]:
    made = Stage(directory, gpus or [])
    made.children.watch()
    try:
        await alone(made.children)
        yield made
        made.roster.end(0, "", "the test is over")
        await made.roster.empty()
        assert not [path for path in entries(made.scratch.disk) + entries(made.scratch.memory) if not kept(path)]
    finally:
        made.children.unwatch()
        made.host.readers.close()
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        made.scratch.remove()


async def alone(children: Children) -> None:
    """Return when this process has no child: what an earlier test left would pass for a process that a pod lost."""
    while left := own_children():
        kill_trees(left)
        children.reap()
        await asyncio.sleep(0.01)


def play(directory: Path, scenario: Callable[[Stage], Awaitable[None]], gpus: list[str] | None = None) -> None:
    async def run() -> None:
        async with stage(directory, gpus) as made:
            await scenario(made)

    asyncio.run(run())


def shell(script: str, name: str = "main", **fields: Any) -> dict[str, Any]:
    """A container; the script's dollars are its own."""
    return {"name": name, "command": ["sh", "-c", script.replace("$", "$$")], **fields}


def kept(path: Path) -> bool:
    """Whether it is an empty directory, for the next attempt."""
    return path.name.isdigit() and not list(path.iterdir())


def entries(path: str) -> list[Path]:
    return list(Path(path).iterdir())


def read(path: str) -> str:
    return Path(path).read_text()


def main_state(event: Any, index: int = 0, kind: str = "containers") -> Any:
    return event[kind][index]["state"]
