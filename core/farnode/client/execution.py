"""A command in a running container, and its main process: Kubernetes' own v5.channel.k8s.io over a WebSocket."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import quote, urlencode

from farnode.client.transport import Transport
from farnode.client.websocket import WebSocket
from farnode.errors import Invalid, Permanent

SUBPROTOCOL = "v5.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
"""Channels: the first byte of a message. A CLOSE is of the channel its second byte names."""


class Output(NamedTuple):
    """With a terminal everything is stdout."""

    stream: Literal["stdout", "stderr"]
    data: bytes


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """`size` is rows and columns of the terminal."""

    command: Sequence[str]
    stdin: bool = False
    tty: bool = False
    size: tuple[int, int] | None = None

    def path(self, uid: str, container: str) -> str:
        """The request's path and query."""
        query: list[tuple[str, str]] = [("command", word) for word in self.command]
        query += [(name, "true") for name, given in (("stdin", self.stdin), ("tty", self.tty)) if given]
        if self.size is not None:
            query += [("rows", str(self.size[0])), ("cols", str(self.size[1]))]
        return f"/v1/pods/{quote(uid, safe='')}/exec/{quote(container, safe='')}?{urlencode(query)}"


@dataclass(frozen=True, slots=True)
class AttachRequest:
    """`size` is rows and columns of the terminal, where the container has one."""

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    size: tuple[int, int] | None = None

    def path(self, uid: str, container: str) -> str:
        """The request's path and query."""
        wanted = (("stdin", self.stdin), ("stdout", self.stdout), ("stderr", self.stderr))
        query = [(name, "true" if given else "false") for name, given in wanted]
        if self.size is not None:
            query += [("rows", str(self.size[0])), ("cols", str(self.size[1]))]
        return f"/v1/pods/{quote(uid, safe='')}/attach/{quote(container, safe='')}?{urlencode(query)}"


class ExecSession:
    """Entered, the command runs, or the container's main process is attached to; iterated, it gives output until that
    ends, then `exit_code` is known. Left before that, a command is hung up on; a main process goes on. Output is read
    only as fast as it is asked for; who is attached and too slow is cut off (Permanent)."""

    def __init__(self, transport: Transport, target: str) -> None:
        self._transport = transport
        self._target = target
        self._socket: WebSocket | None = None
        self._exit_code: int | None = None

    async def __aenter__(self) -> Self:
        socket = WebSocket(await self._transport.dial())
        try:
            await socket.open(self._target, self._transport.authorization, SUBPROTOCOL)
        except BaseException:
            await socket.aclose()
            raise
        self._socket = socket
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave before its end; who sends or receives meanwhile gets Transient."""
        if self._socket is not None:
            await self._socket.aclose()

    @property
    def exit_code(self) -> int | None:
        """None until the output was read to its end."""
        return self._exit_code

    async def send(self, data: bytes) -> None:
        """Bytes for the command's standard input."""
        await self._message(STDIN, data)

    async def close_stdin(self) -> None:
        """The command reads the end of its input."""
        await self._message(CLOSE, bytes([STDIN]))

    async def resize(self, rows: int, cols: int) -> None:
        """The terminal has this size now."""
        await self._message(RESIZE, json.dumps({"Width": cols, "Height": rows}).encode())

    async def wait(self) -> int:
        """Reads what is left of the output, drops it, and returns the exit code."""
        async for _ in self.output():
            pass
        assert self._exit_code is not None
        return self._exit_code

    def __aiter__(self) -> AsyncGenerator[Output, None]:
        return self.output()

    async def output(self) -> AsyncGenerator[Output, None]:
        """Permanent when the command could not be started; Transient when the connection was lost and nobody knows
        what became of it."""
        while self._exit_code is None:
            message = await self._entered().receive()
            if message is None:
                raise Permanent("the command's stream ended without an exit code")
            if not message:
                continue
            channel, data = message[0], message[1:]
            if channel == ERROR:
                self._exit_code = exit_code(data)
            elif data and channel in (STDOUT, STDERR):
                yield Output("stdout" if channel == STDOUT else "stderr", data)

    async def _message(self, channel: int, data: bytes) -> None:
        await self._entered().send(bytes([channel]) + data)

    def _entered(self) -> WebSocket:
        if self._socket is None:
            raise Invalid("exec", "the session is used before `async with` entered it")
        return self._socket


def exit_code(data: bytes) -> int:
    """Of a v1.Status; Permanent with its words where there was no process to have one."""
    try:
        status: dict[str, Any] = json.loads(data)
        if status.get("status") == "Success":
            return 0
        causes = (status.get("details") or {}).get("causes") or []
        code = next((cause["message"] for cause in causes if cause.get("reason") == "ExitCode"), None)
        if code is not None:
            return int(code)
        words = str(status.get("message") or "the command could not be run")
    except (ValueError, TypeError, KeyError, AttributeError):
        words = data.decode("utf-8", "replace")
    raise Permanent(words)
