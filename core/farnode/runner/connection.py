"""The one connection to the gateway: dialled from here, again and again, for as long as the runner lives.

The gateway is known by the fingerprint of its certificate, which lies in the allocation's private directory with its
address and our token; nothing is sent before it matches. The file is read at each attempt, because a gateway may move.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
import ssl
import time
from collections import deque
from pathlib import Path
from typing import Any, Callable, NamedTuple

from ..wire.frames import Kind, encode
from ..wire.link import Link
from ..wire.messages import Hello
from .journal import Journal, Numbered

SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds between two dials, doubling, each drawn from half to one and a half of it."""
DIAL_TIMEOUT = 10.0
BATCH = 256
"""Events in one message."""
BATCH_BYTES = 4 * 1024 * 1024
"""Of events in one message, unless a single one is larger."""
HEARTBEAT, FENCE_AFTER = 10.0, 300.0
"""Seconds, until a gateway has said better."""
LOOK_AGAIN = 1.0
"""Seconds; the gateway may say in between how long it allows."""
MISSED = 3
"""Heartbeats after which a silent connection is dead."""

logger = logging.getLogger(__name__)


class Refused(Exception):
    """The gateway does not want this runner any more, for good."""


class Gateway(NamedTuple):
    """Where it is and how it is known: `connect.json`."""

    nonce: str
    host: str
    port: int
    fingerprint: str
    token: str

    @classmethod
    def read(cls, path: Path) -> Gateway:
        content = json.loads(path.read_text(encoding="utf-8"))
        host, _, port = content["address"].rpartition(":")
        fingerprint = content["fingerprint"].lower()
        return cls(content["nonce"], host.strip("[]"), int(port), fingerprint, content["token"])


def within(events: list[Numbered], limit: int) -> list[Numbered]:
    """The first of them, up to so many bytes, but at least one."""
    size = 0
    for index, event in enumerate(events):
        size += len(event.line)
        if size > limit and index:
            return events[:index]
    return events


def now() -> float:
    """Seconds that go on while the machine is suspended, as the gateway's do."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def dial(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Raises OSError, also when it is another gateway than it should be."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the fingerprint below is stricter than any authority
    connecting = asyncio.open_connection(gateway.host, gateway.port, ssl=context, server_hostname="")
    reader, writer = await asyncio.wait_for(connecting, DIAL_TIMEOUT)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    found = hashlib.sha256(certificate).hexdigest()
    if found != gateway.fingerprint:
        writer.transport.abort()
        raise ConnectionRefusedError(f"{gateway.host}:{gateway.port} shows another certificate: {found}")
    return reader, writer


class Connection:
    def __init__(
        self, path: Path, journal: Journal, hello: Callable[[], Hello], handle: Callable[[Link, dict[str, Any]], None]
    ) -> None:
        """`path` is that of connect.json; `handle` gets what is not about the connection itself."""
        self._path = path
        self._journal = journal
        self._hello = hello
        self._handle = handle
        self._session = ""
        self._heartbeat = HEARTBEAT
        self._fence_after = FENCE_AFTER
        self._heard = self._confirmed = now()
        self._unanswered: deque[float] = deque()
        self._welcomed = asyncio.Event()
        self._link: Link | None = None
        self._leaving = False

    @property
    def overdue(self) -> float:
        """Seconds since when the pods should have been ended for the gateway's silence; negative before."""
        return now() - self._confirmed - self._fence_after

    @property
    def alive(self) -> bool:
        """Whether a gateway welcomed us on this connection and is still heard."""
        return self._welcomed.is_set() and now() - self._heard < MISSED * self._heartbeat

    async def run(self) -> None:
        """Returns after `leave`; raises Refused."""
        pause = SHORTEST_PAUSE
        while not self._leaving:
            try:
                await self._talk()
            except Refused:
                raise
            except Exception as error:  # whatever came over it, a connection's fault ends no pod
                logger.warning("connection: %s: %s", type(error).__name__, error)
            finally:
                if self._welcomed.is_set():
                    pause = SHORTEST_PAUSE
                    self._welcomed.clear()
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
            pause = min(2 * pause, LONGEST_PAUSE)

    async def leave(self) -> None:
        """Say goodbye, as the last word of all, and hang up when it is sent. OSError when nobody hears it."""
        self._leaving = True
        if self._link is not None:
            await self._link.leave({"type": "bye"})

    async def silence(self) -> float:
        """Return when the gateway may not have heard us for as long as it waits: that many seconds.

        What counts is when we *sent* what it answered. That it is heard here proves nothing: a path may work one way.
        """
        while True:
            left = self._confirmed + self._fence_after - now()
            if left <= 0:
                return self._fence_after
            await asyncio.sleep(min(left, LOOK_AGAIN))

    async def _talk(self) -> None:
        gateway = Gateway.read(self._path)
        reader, writer = await dial(gateway)
        link = self._link = Link(reader, writer)
        hello = self._hello()
        if self._session:
            hello["session"] = self._session
        else:
            hello["token"] = gateway.token
        tasks = [
            asyncio.ensure_future(task)
            for task in (link.run(lambda message: self._receive(link, message)), self._beat(link), self._report(link))
        ]
        try:
            self._unanswered = deque([now()])
            await link.send(hello)
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            link.close()
            writer.transport.abort()
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _receive(self, link: Link, message: dict[str, Any]) -> None:
        self._heard = now()
        kind = message["type"]
        if kind in ("welcome", "pong") and self._unanswered:
            self._confirmed = self._unanswered.popleft()
        if kind == "welcome":
            self._welcome(message)
        elif kind == "refused":
            reason = str(message.get("reason", ""))
            raise Refused(reason) if message.get("final") else ConnectionRefusedError(reason)
        elif kind == "ack":
            self._journal.acknowledge(message["seq"])
        elif kind == "ping":
            await link.send({"type": "pong", "time": message.get("time")})
        elif kind != "pong":
            self._handle(link, message)

    def _welcome(self, message: dict[str, Any]) -> None:
        self._session = message["session"]
        self._heartbeat = message.get("heartbeat", HEARTBEAT)
        self._fence_after = message.get("fence_after", FENCE_AFTER)
        self._journal.acknowledge(message.get("acked", 0))
        self._welcomed.set()

    async def _beat(self, link: Link) -> None:
        """Returns when the link is dead."""
        await asyncio.wait_for(self._welcomed.wait(), MISSED * self._heartbeat)
        while self.alive:
            await asyncio.sleep(self._heartbeat)
            self._unanswered.append(now())
            await link.send({"type": "ping", "time": time.time()})
        logger.warning("connection: nothing heard for %g s", MISSED * self._heartbeat)

    async def _report(self, link: Link) -> None:
        """Send what the gateway has not got, and then what comes: all of one turn of the loop in one message."""
        await self._welcomed.wait()
        sent = self._journal.acked
        while True:
            await self._journal.longer(sent)
            events = within(self._journal.after(sent, BATCH), BATCH_BYTES)
            if not events:
                logger.error("event %d is not in the journal any more", sent + 1)
                sent += 1
                continue
            payload = b'{"type":"events","events":[' + b",".join(event.line for event in events) + b"]}"
            await link.write(encode(Kind.MESSAGE, 0, payload))
            sent = events[-1].seq
