"""A runner's life: it serves its gateway until there is a reason to end, ends its pods, and goes.

Reasons: drained, no longer wanted, the allocation ends (SIGTERM), the gateway was not heard for so
long that another runner may be about to start our pods, or the supervisor above us died. Whatever the reason, the ends
of all pods are in the journal before the process exits.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Coroutine
from typing import Any

from ..wire.link import Link
from ..wire.messages import PROTOCOL, Hello
from .clock import SystemClock
from .connection import Connection, Gateway, Refused
from .journal import Journal
from .limits.cgroup import Delegation
from .limits.devices import Devices
from .limits.resources import Resources
from .limits.stats import Stats
from .output.pipes import Readers
from .output.streams import Streams
from .pods.attempt import Host
from .processes.children import Children
from .processes.leftovers import Leftovers
from .roster import Roster
from .runtimes.available import available
from .settings import Settings, address_towards
from .storage.scratch import Scratch

HARD_FENCE = 10.0
"""Seconds after the time to fence at which the runner is ended whatever it is doing."""
FENCED = 3
"""Its exit status then."""
FLUSH = 5.0
"""Seconds to wait, at the end, for the last words of streams and the acknowledgement of the last events, which are on
the spool anyway."""
DESCRIPTORS = 65536
GARBAGE = 20_000
"""New objects after which those among them that refer to each other in circles are looked for."""
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, *WARNINGS)
"""The batch system's, for walltime, cancel and preemption; USR1 and USR2 are what it can be told to warn with."""

logger = logging.getLogger(__name__)


class Runner:
    def __init__(self, settings: Settings, scratch: Scratch) -> None:
        self._settings = settings
        self._scratch = scratch
        self._incarnation = uuid.uuid4().hex
        self._children = Children()
        path = settings.allocation / "connect.json"
        gateway = Gateway.read(path)
        runtimes, self._versions, _ = available(os.environ)
        clock = SystemClock()
        cpus, delegation = os.sched_getaffinity(0), Delegation.find(gateway.nonce)
        resources = Resources(clock, cpus, settings.capacity["memory"], delegation)
        self._host = Host(
            spool=str(settings.allocation),
            nonce=gateway.nonce,
            name=socket.gethostname(),
            address=address_towards(gateway.host, gateway.port),
            scratch=scratch,
            runtimes=runtimes,
            children=self._children,
            leftovers=Leftovers(self._children),
            clock=clock,
            resources=resources,
            readers=Readers(),
        )
        self._journal = Journal(settings.allocation / f"events-{self._incarnation}.jsonl")
        devices, journal = Devices(settings.capacity["gpus"]), self._journal
        self._roster = Roster(self._host, devices, journal.append, lambda: journal.pending)
        journal.acknowledged = self._roster.news.tell
        self._streams = Streams(self._roster, Stats(self._host, os.environ))
        self._connection = Connection(path, self._journal, self._hello, self._handle)
        self._drain = asyncio.Event()
        self._lost = False
        self._ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        self._children.watch()
        self._watch_signals()
        threading.Thread(target=self._fence, daemon=True).start()
        tasks = [asyncio.ensure_future(task) for task in self._watches()]
        try:
            await self._ending
            await self._roster.empty()
            if self._connection.alive:
                with contextlib.suppress(asyncio.TimeoutError, OSError):
                    await asyncio.wait_for(self._last_words(), FLUSH)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._children.unwatch()
            self._host.resources.close()
            self._host.readers.close()
            self._journal.close()

    async def _last_words(self) -> None:
        """After those of streams and the last events, that it ended in order, if it did."""
        await self._roster.empty()  # an order may have come since, whose end is not even in the journal yet
        while self._journal.pending or not self._roster.idle or self._streams.any:
            await asyncio.gather(self._streams.finish(), self._journal.all_acknowledged())
            await self._roster.empty()
        if not self._lost:
            await self._connection.leave()

    def _watches(self) -> list[Coroutine[Any, Any, None]]:
        return [self._connected(), self._unheard(), self._drained(), self._journal.keep_writing()]

    def _end(self, grace: float, reason: str, message: str) -> None:
        """Nothing may come between a signal and this: a container that got it too must not count as failed."""
        logger.info("ending: %s", message)
        self._roster.end(grace, reason, message)
        if not self._ending.done():
            self._ending.set_result(None)

    def _lose(self, message: str) -> None:
        """End out of order: who is above or beyond us may believe us dead."""
        self._lost = True
        self._end(0, "RunnerLost", message)

    def _watch_signals(self) -> None:
        """Not by the loop's own handlers: when hundreds of processes die in one moment, it loses signals."""
        loop = asyncio.get_running_loop()

        def signalled(number: int, _frame: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._warned, number)

        for number in ENDING_SIGNALS:
            signal.signal(number, signalled)
        if self._settings.lifeline is not None:
            loop.add_reader(self._settings.lifeline, self._lost_supervisor, self._settings.lifeline)

    def _warned(self, number: int) -> None:
        """SIGTERM leaves KillWait, a warning the rest of the walltime; a part of it is for writing the ends."""
        left = self._settings.kill_wait
        if number in WARNINGS and self._settings.ends_at is not None:
            left = max(left, self._settings.ends_at - time.time())
        words = f"the allocation is about to end, in {left:.0f} s"
        self._end(left - min(FLUSH, left / 4), "AllocationEnding", words)

    def _lost_supervisor(self, lifeline: int) -> None:
        asyncio.get_running_loop().remove_reader(lifeline)
        self._lose("the process that supervises the runner died")

    async def _connected(self) -> None:
        try:
            await self._connection.run()
        except Refused as refused:
            self._lose(f"the gateway refused the runner: {refused}")
        except Exception:
            logger.exception("the connection failed for good")
            self._lose("the runner failed at its connection to the gateway")

    def _fence(self) -> None:
        """In a thread: where the spool hangs, so does the loop, and this must end the pods all the same. The
        supervisor kills what this process leaves behind."""
        while self._connection.overdue < HARD_FENCE:
            time.sleep(1.0)
        os._exit(FENCED)

    async def _unheard(self) -> None:
        seconds = await self._connection.silence()
        self._lose(f"the gateway was not heard for {seconds:g} s")

    async def _drained(self) -> None:
        await self._drain.wait()
        await self._roster.empty()
        self._end(0, "", "drained")

    def _hello(self) -> Hello:
        return {
            "type": "hello",
            "protocols": [PROTOCOL],
            "nonce": self._host.nonce,
            "incarnation": self._incarnation,
            "host": self._host.name,
            "job": self._settings.job,
            "address": self._host.address,
            "time": time.time(),
            "ends_at": self._settings.ends_at,
            "capacity": self._settings.capacity,
            "runtimes": self._versions,
            "held": self._roster.held(),
        }

    def _handle(self, link: Link, message: Any) -> None:
        try:
            self._obey(link, message)
        except (KeyError, TypeError, ValueError):
            logger.exception("a message of type %r is not understood", message["type"])

    def _obey(self, link: Link, message: Any) -> None:
        kind = message["type"]
        if kind == "start":
            for order in message["pods"]:
                self._start(order)
        elif kind == "stop":
            self._roster.stop(message)
        elif kind == "inputs":
            self._roster.update_inputs(message)
        elif kind == "forget":
            self._roster.forget(message["uid"], message["attempt"])
        elif kind == "drain":
            self._drain.set()
        elif kind == "open":
            self._streams.open(link, message)

    def _start(self, order: Any) -> None:
        """Each alone: one that is not understood takes no other with it."""
        try:
            self._roster.start(order)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            logger.exception("an order is not understood")
            with contextlib.suppress(KeyError, TypeError):  # it does not even say whose it is
                self._roster.refuse(order, f"the runner does not understand the pod's order: {error!r}")


async def serve(settings: Settings) -> None:
    scratch = Scratch(os.environ, settings.allocation.name)
    try:
        await Runner(settings, scratch).run()
    finally:
        scratch.remove()


def main() -> int:
    """The exit status: 0 when it ended in order, 2 when it cannot begin."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.umask(0o077)
    _heed_signals()
    _allow_descriptors()
    _keep_descriptors()
    _collect_rarely()
    try:
        settings = Settings.read(os.environ)
        asyncio.run(serve(settings))
    except (OSError, ValueError, KeyError) as error:
        logger.error("cannot run: %s: %s", type(error).__name__, error)
        return 2
    return 0


def _keep_descriptors() -> None:
    """What came from above (the lifeline, whatever a batch system left open) is not passed on to containers."""
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > sys.stderr.fileno():
            with contextlib.suppress(OSError):
                os.set_inheritable(number, False)


def _collect_rarely() -> None:
    """What was imported stays, and the pods of a batch come and go: both need not be looked through all the time."""
    gc.freeze()
    gc.set_threshold(GARBAGE)


def _heed_signals() -> None:
    """What whoever started us ignores (nohup: SIGHUP) would be ignored by every program we start, too."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _allow_descriptors() -> None:
    """Three for each container. No more than in a usual container: programs exist that close all there could be."""
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if usual < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, most), most))
