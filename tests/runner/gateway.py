"""A gateway's end of the connection, as small as can be: a real TLS server that speaks the wire, and a real runner."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from farnode.wire.frames import Channel
from farnode.wire.link import Data, Link, Stream

PATIENCE = 20.0
PYTHON = os.environ.get("FARNODE_TEST_PYTHON", sys.executable)
"""The interpreter the runner is started with: its own range of versions is wider than ours."""
CORE = Path(__file__).parents[2] / "core"
NONCE = "n0nce"


def certificate(directory: Path) -> tuple[Path, str]:
    """A PEM file with key and certificate, and the fingerprint."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "farnode")])
    now = dt.datetime.now(dt.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = directory / "gateway.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + cert.public_bytes(serialization.Encoding.PEM))
    return path, hashlib.sha256(cert.public_bytes(serialization.Encoding.DER)).hexdigest()


class FakeGateway:
    def __init__(self, directory: Path, **welcome: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.hellos: list[dict[str, Any]] = []
        self.heard: list[str] = []
        """Kinds of all messages, in their order."""
        self.acknowledging = True
        self.answering = True
        self.ponging = True
        self.link: Link | None = None
        self.allocation = directory / NONCE
        self.allocation.mkdir(0o700)
        (directory / "scratch").mkdir()
        self.scratch = directory / "scratch"
        self._welcome = {"heartbeat": 5.0, "fence_after": 60.0, "acked": 0, **welcome}
        self._pem, self.fingerprint = certificate(directory)
        self._server: asyncio.Server | None = None
        self._news = asyncio.Condition()
        self._connected = asyncio.Event()

    @property
    def acked(self) -> int:
        return max((event["seq"] for event in self.events), default=0)

    async def listen(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pem)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        port = self._server.sockets[0].getsockname()[1]
        self.point(f"127.0.0.1:{port}", self.fingerprint)

    def point(self, address: str, fingerprint: str) -> None:
        content = {"nonce": NONCE, "address": address, "fingerprint": fingerprint, "token": "once", "site": "here"}
        (self.allocation / "connect.new").write_text(json.dumps(content))
        (self.allocation / "connect.new").rename(self.allocation / "connect.json")

    async def close(self) -> None:
        """Gone, as for a crash; `listen` brings it back at another port."""
        assert self._server is not None
        self._server.close()
        if self.link is not None:
            self.link.close()
        self._connected.clear()

    async def send(self, **message: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._connected.wait()
        assert self.link is not None
        await self.link.send(message)

    async def start(self, *orders: dict[str, Any]) -> None:
        await self.send(type="start", pods=list(orders))

    async def open(self, kind: str, container: str = "main", uid: str = "u1", **options: Any) -> Stream:
        assert self.link is not None
        return await self.link.open(kind=kind, uid=uid, attempt=1, container=container, options=options)

    async def until(self, happened: Callable[[], Any]) -> Any:
        async with asyncio.timeout(PATIENCE), self._news:
            return await self._news.wait_for(happened)

    async def event(self, test: Callable[[dict[str, Any]], Any], uid: str = "u1") -> dict[str, Any]:
        """The first event of the pod that passes."""
        found: dict[str, Any] = await self.until(
            lambda: next((event for event in self.events if event["uid"] == uid and test(event)), None)
        )
        return found

    async def ended(self, uid: str = "u1", attempt: int = 1) -> dict[str, Any]:
        return await self.event(lambda event: event["ended"] and event["attempt"] == attempt, uid)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer)
        await link.run(lambda message: self._receive(link, message))

    async def _receive(self, link: Link, message: dict[str, Any]) -> None:
        self.heard.append(message["type"])
        if not self.answering:
            return
        if message["type"] == "hello":
            self.hellos.append(message)
            self.link = link
            welcome = {"type": "welcome", "protocol": 1, "session": "s3ssion", "time": 0.0, **self._welcome}
            await link.send({**welcome, "acked": self.acked})
            self._connected.set()
        elif message["type"] == "events":
            self.events += message["events"]
            if self.acknowledging:
                await link.send({"type": "ack", "seq": self.acked})
        elif message["type"] == "ping" and self.ponging:
            await link.send({"type": "pong", "time": message["time"]})
        async with self._news:
            self._news.notify_all()


def source(directory: Path) -> Path:
    """What the archive holds: the packages of the runner, without the public face."""
    root = directory / "source" / "farnode"
    root.mkdir(parents=True)
    for name in ("wire", "runner"):
        (root / name).symlink_to(CORE / "farnode" / name)
    return root.parent


@contextlib.asynccontextmanager
async def running(
    gateway: FakeGateway, inherit: tuple[int, ...] = (), **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A runner process, dialled in."""
    await gateway.listen()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(source(gateway.allocation.parent)),
        "FARNODE_ALLOCATION": str(gateway.allocation),
        "FARNODE_SCRATCH": str(gateway.scratch),
        **variables,
    }
    command = [PYTHON, "-W", "error", "-X", "utf8", "-m", "farnode.runner", "run"]
    log = gateway.allocation.parent / "runner.out"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=output, stderr=output, pass_fds=inherit
        )
    try:
        yield process
    finally:
        await gateway.close()
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE)
        sys.stdout.write(log.read_text())


def order(*command: str, uid: str = "u1", **fields: Any) -> dict[str, Any]:
    """A pod of one container."""
    return {
        "uid": uid,
        "attempt": 1,
        "namespace": "default",
        "name": "pod",
        "runtime": "process",
        "restart_policy": "Never",
        "grace": 5.0,
        "containers": [container("main", *command)],
        **fields,
    }


def container(name: str, *command: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "command": list(command), **fields}


def shell(script: str, **fields: Any) -> dict[str, Any]:
    """Its dollars are its own."""
    return order("sh", "-c", script.replace("$", "$$"), **fields)


async def everything(stream: Stream, channel: Channel = Channel.STDOUT) -> bytes:
    """What comes on a channel until the stream is closed."""
    found = b""
    async with asyncio.timeout(PATIENCE):
        while (item := await stream.receive()) is not None:
            if isinstance(item, Data) and item.channel == channel:
                found += item.data
    return found
