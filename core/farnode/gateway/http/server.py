"""Serves the application, on a unix socket only this account can open, or on https."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from websockets import http11

from farnode.config.values import HostPort, UnixSocket
from farnode.errors import Invalid
from farnode.gateway.http.context import Context

_GRACE = 5
"""Seconds ordinary requests have to finish when the server stops; streams are ended at once."""
_CONNECTIONS = 512
"""At once, below the 1024 files a login node usually allows; further ones are answered 503."""
_KEEP_ALIVE = 75
"""Seconds; longer than clients keep an idle connection, so that none writes into one just being closed."""


_UNSENT = 128 * 1024
"""Bytes a connection may hold that its client has no window for; without it the kernel takes up to 4 MiB of each."""

http11.MAX_LINE_LENGTH = 2**20
"""Bytes of a request line: that of exec holds the command, and longer ones than the usual 8 KiB would never be
answered. The library reads its own WEBSOCKETS_MAX_LINE_LENGTH from the environment of all our children."""


class Server:
    """A running server; `address` is where, as `unix:/path` or a URL with the port really taken."""

    def __init__(self, app: FastAPI, address: str, tls: ssl.SSLContext | None) -> None:
        self.address = address
        self._context: Context = app.state.context
        self._server = _Uvicorn(_settings(app, tls))
        self._task: asyncio.Task[None] | None = None

    async def start(self, listener: socket.socket) -> None:
        self._task = asyncio.create_task(self._server.serve([listener]))
        up = asyncio.create_task(self._server.up.wait())
        await asyncio.wait({up, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not up.done():
            up.cancel()
            await self._task  # raises why

    async def stop(self) -> None:
        """Accept nothing more, end streams, let requests finish."""
        self._context.streams.close()
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        if self.address.startswith("unix:"):
            _remove(Path(self.address.removeprefix("unix:")))


async def serve(app: FastAPI, listen: UnixSocket | HostPort, tls: ssl.SSLContext | None = None) -> Server:
    """Answers from when this returns; Invalid when the address cannot be had. `tls` is for addresses: a unix socket
    is private already."""
    tls = None if isinstance(listen, UnixSocket) else tls
    try:
        listener = _unix(listen.path) if isinstance(listen, UnixSocket) else _tcp(listen)
    except OSError as error:
        raise Invalid("listen", f"{listen} cannot be had: {error.strerror}") from error
    server = Server(app, _address(listen, listener, tls), tls)
    await server.start(listener)
    return server


class _Uvicorn(uvicorn.Server):
    """Leaves signals to the process, and says when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def _settings(app: FastAPI, tls: ssl.SSLContext | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,  # costs a core, and kubectl's proxies pass on what they never asked for
        ws_ping_timeout=None,  # pongs are not read while a command does not read its stdin
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
    )


def _unix(path: Path) -> socket.socket:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        os.fchmod(listener.fileno(), stat.S_IRUSR | stat.S_IWUSR)  # before bind: the file never has another mode
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """What a killed gateway left behind; a socket somebody answers on is not."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise Invalid("listen", f"unix:{path} is served by another process; end it first")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _tcp(listen: HostPort) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    listener = socket.create_server((listen.host, listen.port), family=family)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
    return listener


def _address(listen: UnixSocket | HostPort, listener: socket.socket, tls: ssl.SSLContext | None) -> str:
    if isinstance(listen, UnixSocket):
        return f"unix:{listen.path}"
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    return f"{'http' if tls is None else 'https'}://{host}:{listener.getsockname()[1]}"
