"""httpcore's network, given by a dialler: any anyio byte stream carries the API."""

from __future__ import annotations

import select
import ssl
from typing import Any

import anyio
import httpcore
from anyio.abc import ByteStream, SocketAttribute

from farnode.client.dial import Dial

_BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, ssl.SSLError)
"""anyio lets pass what TLS itself complains of: a record that is damaged, an alert."""


class Backend(httpcore.AsyncNetworkBackend):
    """httpcore asks for a TCP connection; whatever the dialler gives is one."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial

    async def connect_tcp(self, *_where: Any, **_how: Any) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._dial())


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        try:
            with anyio.fail_after(timeout):
                return await self._stream.receive(max_bytes)
        except anyio.EndOfStream:
            return b""
        except TimeoutError:
            raise httpcore.ReadTimeout("no answer in time") from None
        except _BROKEN as error:
            raise httpcore.ReadError("the connection was lost") from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        if not buffer:
            return
        try:
            with anyio.fail_after(timeout):
                await self._stream.send(buffer)
        except TimeoutError:
            raise httpcore.WriteTimeout("not taken in time") from None
        except _BROKEN as error:
            raise httpcore.WriteError("the connection was lost") from error

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        """Only whether an idle connection has something to read, which means that the other side closed it."""
        if info != "is_readable":
            return None
        raw = self._stream.extra(SocketAttribute.raw_socket, None)  # noqa: S610 - not Django's
        if raw is None or raw.fileno() < 0:
            return raw is not None
        poll = select.poll()
        poll.register(raw.fileno(), select.POLLIN)
        return bool(poll.poll(0))
