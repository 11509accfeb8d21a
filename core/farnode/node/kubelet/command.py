"""The routes of exec and attach, by WebSocket or SPDY/3.1.

What is wrong before the upgrade is answered with HTTP, which clients show; afterwards it is the session's end. Nothing
is begun for a client with whom no protocol is agreed: kubectl asks again by SPDY, and its command would run twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from farnode.client.execution import ExecSession
from farnode.errors import Invalid, Transient
from farnode.node.kubelet import requests, spdy_peer, status, websocket_peer
from farnode.node.kubelet.connection import connected
from farnode.node.kubelet.conversation import converse
from farnode.node.kubelet.pipes import upgraded
from farnode.node.kubelet.pods import Pods
from farnode.node.kubelet.spdy_peer import SpdyPeer
from farnode.node.kubelet.streams import Streams
from farnode.node.kubelet.upgrades import is_websocket, negotiated
from farnode.node.kubelet.websocket_peer import WebSocketPeer


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the client wants to be joined to; with a terminal everything comes out as stdout."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def of(cls, request: web.Request) -> Wanted:
        stdin, stdout, stderr, tty = (requests.flag(request.query, key) for key in ("input", "output", "error", "tty"))
        if not (stdin or stdout or stderr):
            raise Invalid("", "you must specify at least 1 of stdin, stdout, stderr")
        return cls(stdin, stdout, stderr and not tty, tty)


_OPENING = 30.0
"""Seconds the site has to join a client to a container."""
Begin = Callable[[], Awaitable[ExecSession]]
Carry = Callable[[web.Request, Wanted, ExecSession], Awaitable[web.StreamResponse]]


class Commands:
    """Handlers of exec and attach."""

    def __init__(self, pods: Pods, streams: Streams) -> None:
        self._pods = pods
        self._streams = streams

    async def exec(self, request: web.Request) -> web.StreamResponse:
        """A command in a running container."""
        command: Sequence[str] = request.query.getall("command", [])
        if not command:
            raise Invalid("command", "is missing; accepted: one or more command=… parameters, an argument each")
        wanted, name = Wanted.of(request), requests.named(self._pods, request.match_info)
        pod, container, stdin, tty = name.target.uid, name.container, wanted.stdin, wanted.tty
        begin = partial(name.target.client.exec, pod, command, container, stdin=stdin, tty=tty)
        return await self._serve(request, wanted, begin)

    async def attach(self, request: web.Request) -> web.StreamResponse:
        """A container's main process."""
        wanted, name = Wanted.of(request), requests.named(self._pods, request.match_info)
        pod, container, stdin, stdout = name.target.uid, name.container, wanted.stdin, wanted.stdout
        begin = partial(name.target.client.attach, pod, container, stdin=stdin, stdout=stdout, stderr=wanted.stderr)
        return await self._serve(request, wanted, begin)

    async def _serve(self, request: web.Request, wanted: Wanted, begin: Begin) -> web.StreamResponse:
        carry = _agreed(request)
        with self._streams.admitted():
            async with AsyncExitStack() as stack:
                return await carry(request, wanted, await _entered(stack, begin))


def _agreed(request: web.Request) -> Carry:
    """How to speak with this client; Invalid where that is not clear."""
    if is_websocket(request):
        return partial(_by_websocket, websocket_peer.agreed(request, websocket_peer.PROTOCOLS))
    return partial(_by_spdy, negotiated(request, spdy_peer.PROTOCOLS))


async def _entered(stack: AsyncExitStack, begin: Begin) -> ExecSession:
    try:
        async with asyncio.timeout(_OPENING):
            return await stack.enter_async_context(await begin())
    except TimeoutError:
        raise Transient("the site did not answer in time") from None


async def _by_websocket(
    socket: web.WebSocketResponse, request: web.Request, wanted: Wanted, session: ExecSession
) -> web.StreamResponse:
    await socket.prepare(request)
    peer = WebSocketPeer(socket)
    await peer.greet(wanted.stdout, wanted.stderr)
    await converse(session, peer, wanted.stdin)
    return socket


async def _by_spdy(protocol: str, request: web.Request, wanted: Wanted, session: ExecSession) -> web.StreamResponse:
    async with upgraded(request, protocol) as upgrade, connected(upgrade) as connection:
        kinds = spdy_peer.kinds(
            protocol, stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr, tty=wanted.tty
        )
        streams = await spdy_peer.streams(connection, kinds)
        peer = SpdyPeer(connection, streams, protocol)
        if missing := [kind for kind in kinds if kind not in streams]:
            await peer.finish(status.failed(f"the client did not open its streams: {', '.join(missing)}"))
        else:
            await converse(session, peer, wanted.stdin)
    return upgrade.response
