"""The listener that runners dial: who is let in, and the links to those that are.

A runner proves itself once by the token in its allocation's `connect.json`; the first incarnation to do so is the only
one this allocation ever has. Token and session key are derived from the gateway's secret (HMAC), so that nothing
secret is stored with the records and a welcome lost on the way can be repeated.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farnode.errors import Invalid, Unreachable
from farnode.gateway import stimuli as s
from farnode.gateway.commands import encoded
from farnode.gateway.records import AllocationRecord, Life
from farnode.gateway.reports import decode, read_events, read_hello
from farnode.wire.frames import Kind, ProtocolError, encode
from farnode.wire.link import Link, Stream
from farnode.wire.messages import PROTOCOL, Hello

log = logging.getLogger(__name__)

SECRET_BYTES = 32
HELLO_TIMEOUT = 20.0
"""Seconds a new connection has for its TLS handshake and first message."""
CLOSING = 1.0
"""Seconds that connections have to end in order when the gateway ends; runners come again anyway."""
MISSED = 3
"""Heartbeats after which a silent connection is lost. Nothing ends by that; who asks for logs is told at once."""
UNSENT = 64 * 1024 * 1024
"""Bytes waiting for one runner before its link is given up; it dials again and is told all it misses."""


class Refused(Exception):
    """Why a runner is not let in. `final`: it is not wanted any more and ends what it runs."""

    def __init__(self, reason: str, *, final: bool) -> None:
        super().__init__(reason)
        self.final = final


@dataclass(frozen=True, slots=True)
class Secret:
    """The gateway's secret and what is derived from it."""

    key: bytes

    @classmethod
    def at(cls, path: Path) -> Secret:
        if not path.exists():
            temporary = path.with_suffix(".new")
            temporary.touch(mode=0o600)
            with temporary.open("wb") as file:
                file.write(os.urandom(SECRET_BYTES))
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        key = path.read_bytes()
        if len(key) != SECRET_BYTES:
            raise Invalid(str(path), f"holds {len(key)} bytes and not the {SECRET_BYTES} of this gateway's secret")
        return cls(key)

    @property
    def identity(self) -> str:
        """Names this gateway's state; reveals nothing."""
        return self._derive("identity")

    def token(self, nonce: str) -> str:
        return self._derive("token", nonce)

    def session(self, nonce: str, incarnation: str) -> str:
        return self._derive("session", nonce, incarnation)

    def _derive(self, *parts: str) -> str:
        return hmac.new(self.key, "\0".join(parts).encode(), hashlib.sha256).hexdigest()


def admit(hello: Hello, allocation: AllocationRecord | None, secret: Secret) -> None:
    """Raises Refused unless this runner may serve this allocation."""
    if PROTOCOL not in hello["protocols"]:
        raise Refused(f"this gateway speaks protocol {PROTOCOL}", final=True)
    if allocation is None or allocation.life is Life.ENDED:
        raise Refused("this allocation is over", final=True)
    incarnation = hello["incarnation"]
    if allocation.incarnation not in (None, incarnation):
        raise Refused("this allocation already has another runner", final=True)
    proofs = (
        (hello.get("session", ""), secret.session(allocation.nonce, incarnation)),
        (hello.get("token", ""), secret.token(allocation.nonce)),
    )
    if not any(hmac.compare_digest(given.encode(), wanted.encode()) for given, wanted in proofs):
        raise Refused("the token is wrong", final=False)


def found(hello: Hello, at: float) -> dict[str, object]:
    """What a runner found on its node: `gpus`, `runtimes`, its `address` and, where the batch system says it,
    `ends_at`, which is told by the node's clock and given by the gateway's, whose time is `at`."""
    capacity: dict[str, object] = {**hello["capacity"], "runtimes": hello.get("runtimes", {})}
    capacity["address"] = hello.get("address", "")
    if (ends_at := hello.get("ends_at")) is not None:
        capacity["ends_at"] = ends_at + at - hello.get("time", at)
    return capacity


@dataclass(slots=True)
class Runner:
    """A connected runner. Messages go out in order through `outbox`, so nobody waits for a slow link."""

    nonce: str
    incarnation: str
    link: Link
    outbox: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    unsent: int = 0

    def send(self, message: bytes) -> None:
        data = encode(Kind.MESSAGE, 0, message)
        self.unsent += len(data)
        if self.unsent > UNSENT:
            self.link.close()
        else:
            self.outbox.put_nowait(data)

    async def pump(self) -> None:
        while True:
            data = await self.outbox.get()
            while not self.outbox.empty():
                data += self.outbox.get_nowait()
            await self.link.write(data)
            self.unsent -= len(data)


@dataclass(frozen=True, slots=True)
class Intervals:
    heartbeat: float
    fence_after: float


class Runners:
    """`tell` hands a stimulus to the gateway, and waits only while too much is waiting there."""

    def __init__(
        self,
        secret: Secret,
        intervals: Intervals,
        allocation: Callable[[str], AllocationRecord | None],
        tell: Callable[[s.Stimulus], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self.connected: dict[str, Runner] = {}
        self._claims: dict[str, str] = {}
        self.gone: Callable[[str], None] = lambda _: None
        self._secret = secret
        self._intervals = intervals
        self._allocation = allocation
        self._tell = tell
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._visits: dict[asyncio.Task[None], Link] = {}

    @property
    def silence(self) -> float:
        """Seconds after which a connection on which nothing came is lost."""
        return MISSED * self._intervals.heartbeat

    async def listen(self, host: str, port: int, context: ssl.SSLContext) -> int:
        """Returns the port; 0 asks the system for one."""
        self._server = await asyncio.start_server(
            self._serve, host, port, ssl=context, ssl_handshake_timeout=HELLO_TIMEOUT, backlog=1024
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in self._visits.values():
            link.close()
        if self._visits:  # else they are cancelled half-way, which asyncio logs as an error
            await asyncio.wait(self._visits, timeout=CLOSING)

    def send(self, nonce: str, message: Any) -> None:
        """A message to a runner that is not connected is lost; what it says is repeated when the runner comes."""
        self.post(nonce, encoded(message))

    def post(self, nonce: str, message: bytes) -> None:
        """As `send`, of what is encoded already."""
        runner = self.connected.get(nonce)
        if runner is not None:
            runner.send(message)

    async def open(self, nonce: str | None, **fields: Any) -> Stream:
        """A stream to a runner; Unreachable while it is not connected."""
        runner = self.connected.get(nonce or "")
        if runner is None:
            raise Unreachable("the pod's runner is not connected now; try again", retry_after=5)
        try:
            return await runner.link.open(**fields)
        except OSError as error:
            raise Unreachable("the pod's runner is not connected now; try again", retry_after=5) from error

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer, decode)
        visit = _Visit(self, link)
        task = asyncio.current_task()
        assert task is not None
        self._visits[task] = link
        try:
            await visit.run()
        except (OSError, ProtocolError, ssl.SSLError) as error:
            log.warning("a runner's connection failed: %s", error)
        finally:
            link.close()
            del self._visits[task]

    async def greet(self, link: Link, hello: Hello) -> Runner:
        nonce, incarnation = hello["nonce"], hello["incarnation"]
        try:
            allocation = self._allocation(nonce)
            admit(hello, allocation, self._secret)
            if self._claims.setdefault(nonce, incarnation) != incarnation:  # before the record can say so
                raise Refused("this allocation already has another runner", final=True)
        except Refused as refusal:
            log.warning("refused a runner of allocation %s: %s", nonce, refusal)
            await link.send({"type": "refused", "reason": str(refusal), "final": refusal.final})
            raise ProtocolError(str(refusal)) from refusal
        assert allocation is not None
        runner = Runner(nonce, incarnation, link)
        old = self.connected.pop(nonce, None)
        if old is not None:
            old.link.close()
        await link.send(
            {
                "type": "welcome",
                "protocol": PROTOCOL,
                "session": self._secret.session(nonce, runner.incarnation),
                "acked": allocation.acked,
                "heartbeat": self._intervals.heartbeat,
                "fence_after": self._intervals.fence_after,
                "time": self._clock(),
            }
        )
        self.connected[nonce] = runner
        host, job, at = hello.get("host", ""), hello.get("job") or None, self._clock()
        await self._tell(s.RunnerConnected(at, nonce, incarnation, host, job, found(hello, at), hello["held"]))
        return runner

    async def hear(self, runner: Runner, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "events":
            events = read_events(message.get("events"))
            await self._tell(s.RunnerEvents(self._clock(), runner.nonce, runner.incarnation, events))
        elif kind == "ping":
            runner.send(encoded({"type": "pong", "time": self._clock()}))
            await self._tell(s.RunnerHeard(self._clock(), runner.nonce))
        elif kind == "bye":
            self._forget(runner)
            await self._tell(s.RunnerLeft(self._clock(), runner.nonce, runner.incarnation))
            self.gone(runner.nonce)  # now that all is known: why a pod was cut short is still to be asked

    def leave(self, runner: Runner) -> None:
        """Its link is lost, unless it had said goodbye."""
        if self._forget(runner):
            self.gone(runner.nonce)

    def _forget(self, runner: Runner) -> bool:
        """Whether it was there until now."""
        if self.connected.get(runner.nonce) is not runner:
            return False
        del self.connected[runner.nonce]
        record = self._allocation(runner.nonce)
        if record is None or record.incarnation is not None:  # the record guards it from now on
            self._claims.pop(runner.nonce, None)
        return True


class _Visit:
    """One connection, from its hello to its end."""

    def __init__(self, runners: Runners, link: Link) -> None:
        self._runners = runners
        self._link = link
        self._runner: Runner | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._heard = 0.0

    async def run(self) -> None:
        deadline = asyncio.get_running_loop().call_later(HELLO_TIMEOUT, self._expire)
        try:
            await self._link.run(self._on_message)
        finally:
            deadline.cancel()
            for task in self._tasks:
                task.cancel()
            if self._runner is not None:
                self._runners.leave(self._runner)

    def _expire(self) -> None:
        if self._runner is None:
            self._link.close()

    async def _watch(self, runner: Runner) -> None:
        loop, allowed = asyncio.get_running_loop(), self._runners.silence
        while (left := self._heard + allowed - loop.time()) > 0:
            await asyncio.sleep(left)
        log.warning("runner of allocation %s: nothing heard for %g s", runner.nonce, allowed)
        self._runners.leave(runner)
        self._link.close()

    async def _on_message(self, message: dict[str, Any]) -> None:
        self._heard = asyncio.get_running_loop().time()
        if self._runner is None:
            if message["type"] != "hello":
                raise ProtocolError("a connection begins with hello")
            self._runner = await self._runners.greet(self._link, read_hello(message))
            work = (self._runner.pump(), self._watch(self._runner))
            self._tasks = [asyncio.create_task(each) for each in work]
        else:
            await self._runners.hear(self._runner, message)


def connect_file(nonce: str, address: str, fingerprint: str, secret: Secret, site: str) -> str:
    """The text of an allocation's `connect.json`: where its runner dials, whom it trusts and how it proves itself."""
    return json.dumps(
        {"nonce": nonce, "address": address, "fingerprint": fingerprint, "token": secret.token(nonce), "site": site}
    )
