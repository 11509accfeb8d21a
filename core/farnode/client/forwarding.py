"""Ports of a pod: one connection as a byte stream, and local ports that lead to it."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import anyio
from anyio.abc import ByteStream, Listener, SocketAttribute, SocketStream

from farnode.client.execution import CLOSE, ERROR, STDIN, STDOUT, SUBPROTOCOL, exit_code
from farnode.client.transport import Transport
from farnode.client.websocket import WebSocket
from farnode.errors import FarnodeError, Invalid, Transient

LOCALHOST = "localhost"
"""As an address to listen at: 127.0.0.1 and ::1, as far as this machine has them (kubectl port-forward)."""
_LOOPBACKS = ("127.0.0.1", "::1")
_CHUNK = 65536
_AT_ONCE = 256
"""Connections of one forwarding; more wait until one ends."""
Connect = Callable[[int], Awaitable[ByteStream]]
"""Connects to a port of the pod."""


class PortStream(ByteStream):
    """A TCP connection to what a process of the pod listens at. Errors are anyio's, but for a refusal: Permanent with
    words, at the first `receive`."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._rest = b""
        self._ended = False

    async def receive(self, max_bytes: int = _CHUNK) -> bytes:
        while not self._rest:
            if self._ended:
                raise anyio.EndOfStream
            await self._take()
        data, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
        return data

    async def send(self, item: bytes) -> None:
        view = memoryview(item)
        for first in range(0, len(view), _CHUNK):
            await self._message(STDIN, bytes(view[first : first + _CHUNK]))

    async def send_eof(self) -> None:
        await self._message(CLOSE, bytes([STDIN]))

    async def aclose(self) -> None:
        await self._socket.aclose()

    async def _take(self) -> None:
        try:
            message = await self._socket.receive()
        except Transient as error:
            raise anyio.BrokenResourceError from error
        if message is None:
            raise anyio.BrokenResourceError("the connection ended without a result")
        if message[:1] == bytes([STDOUT]):
            self._rest = message[1:]
        elif message[:1] == bytes([ERROR]):
            exit_code(message[1:])  # raises what was refused
            self._ended = True
        elif message == bytes([CLOSE, STDOUT]):
            self._ended = True

    async def _message(self, channel: int, data: bytes) -> None:
        try:
            await self._socket.send(bytes([channel]) + data)
        except Transient as error:
            raise anyio.BrokenResourceError from error


async def connect(transport: Transport, uid: str, port: int) -> PortStream:
    socket = WebSocket(await transport.dial())
    try:
        await socket.open(f"/v1/pods/{quote(uid, safe='')}/ports/{port}", transport.authorization, SUBPROTOCOL)
    except BaseException:
        await socket.aclose()
        raise
    return PortStream(socket)


@dataclass(frozen=True, slots=True)
class Door:
    """A local port that leads to a remote one."""

    address: str
    local: int
    remote: int
    listener: Listener[SocketStream]

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.local} -> {self.remote}"


@asynccontextmanager
async def opened(
    ports: Iterable[tuple[int, int]], addresses: Sequence[str], connect: Connect, told: Callable[[str], None]
) -> AsyncIterator[list[Door]]:
    """While it is entered, each local port (0: any free one) leads to its remote one at every address. A connection
    that fails is told of, and the others go on. Invalid when a local port cannot be had."""
    async with AsyncExitStack() as stack:
        doors: list[Door] = []
        for local, remote in ports:
            found = await _doors(local, remote, addresses)
            for door in found:
                stack.push_async_callback(door.listener.aclose)
            doors += found
        turns = anyio.CapacityLimiter(_AT_ONCE)
        async with anyio.create_task_group() as tasks:
            for door in doors:
                tasks.start_soon(door.listener.serve, partial(_handle, door, connect, told, turns))
            yield doors
            tasks.cancel_scope.cancel()


async def _doors(local: int, remote: int, addresses: Sequence[str]) -> list[Door]:
    """One for each address; of the two of LOCALHOST at least one. The same free port at all of them."""
    doors: list[Door] = []
    for address in addresses:
        wanted = _LOOPBACKS if address == LOCALHOST else (address,)
        found: list[Door] = []
        problem: OSError | None = None
        for one in wanted:
            try:
                listener = await _listen(one, local)
            except OSError as error:
                problem = error
                continue
            local = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
            found.append(Door(one, local, remote, listener))
        doors += found
        if not found:
            for door in doors:
                await door.listener.aclose()
            assert problem is not None
            raise Invalid("port", f"cannot listen at {address}:{local}: {_words(problem)}") from problem
    return doors


async def _listen(address: str, port: int) -> Any:
    return await anyio.create_tcp_listener(local_host=address, local_port=port)


async def _handle(
    door: Door, connect: Connect, told: Callable[[str], None], turns: anyio.CapacityLimiter, here: SocketStream
) -> None:
    try:
        async with here, turns, await connect(door.remote) as there, anyio.create_task_group() as tasks:
            tasks.start_soon(_copy, here, there)
            tasks.start_soon(_copy, there, here)
    except* FarnodeError as errors:
        told(f"an error occurred forwarding {door.local} -> {door.remote}: {_first(errors)}")
    except* (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        pass  # either side has reset it, and the other was told by its end


async def _copy(source: ByteStream, sink: ByteStream) -> None:
    async for chunk in source:
        await sink.send(chunk)
    await sink.send_eof()


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _words(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; 0 takes a free one"
    return (error.strerror or str(error)).lower()


def by_remote(doors: Iterable[Door]) -> Mapping[int, int]:
    """The local port for each remote one."""
    return {door.remote: door.local for door in doors}
