"""This process's terminal and standard streams, for a command in a container or its main process."""

from __future__ import annotations

import signal
import sys
from contextlib import aclosing
from typing import NamedTuple

import anyio
import click
from anyio.abc import TaskStatus

from farnode.cli import terminal
from farnode.client.execution import ExecSession


class End(NamedTuple):
    """Of a session: its exit code, and how many bytes came out of it."""

    code: int
    printed: int


def usable_terminal(asked: bool, stdin: bool) -> bool:
    """Whether there is one to pass on; said when it was asked for in vain."""
    usable = stdin and sys.stdin.isatty()
    if asked and not usable:
        click.echo("standard input is no terminal: -t is ignored", err=True)
    return asked and usable


async def attend(session: ExecSession, stdin: bool, tty: bool, redrawn: bool = False) -> End:
    """Input to it and output from it until it ends. `redrawn`: what draws on its terminal shall do so
    again for a newcomer."""
    async with session, anyio.create_task_group() as tasks:
        if redrawn:
            await _redraw(session)
        if stdin:
            tasks.start_soon(_send_typed, session)
        if tty:
            await tasks.start(_send_sizes, session)
        printed = await _print(session)
        tasks.cancel_scope.cancel()
    assert session.exit_code is not None
    return End(session.exit_code, printed)


async def _redraw(session: ExecSession) -> None:
    """As kubectl does it: by a size that changes."""
    if (size := terminal.size()) is not None:
        rows, cols = size
        await session.resize(rows + 1, cols + 1)
        await session.resize(rows, cols)


async def _print(session: ExecSession) -> int:
    printed = 0
    streams = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    async with aclosing(session.output()) as output:
        async for stream, data in output:
            streams[stream].write(data)
            streams[stream].flush()
            printed += len(data)
    return printed


async def _send_typed(session: ExecSession) -> None:
    async with aclosing(terminal.typed()) as chunks:
        async for chunk in chunks:
            await session.send(chunk)
    await session.close_stdin()


async def _send_sizes(session: ExecSession, *, task_status: TaskStatus[None]) -> None:
    """Also the one it has now: it may have changed before anybody heard of it."""
    with anyio.open_signal_receiver(signal.SIGWINCH) as signals:
        await _send_size(session)
        task_status.started()
        async for _ in signals:
            await _send_size(session)


async def _send_size(session: ExecSession) -> None:
    if (size := terminal.size()) is not None:
        await session.resize(*size)
