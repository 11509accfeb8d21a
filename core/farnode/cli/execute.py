"""farnode exec."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import aclosing, nullcontext

import anyio
import click

from farnode.cli import terminal
from farnode.cli.connection import call
from farnode.cli.settings import connected
from farnode.client.aio import AsyncClient
from farnode.client.execution import ExecSession


@click.command("exec")
@connected
@click.argument("pod", metavar="POD")
@click.argument("command", metavar="-- COMMAND [ARG...]", nargs=-1, required=True)
@click.option("-c", "--container", metavar="NAME", help="In this container.  [default: the pod's first]")
@click.option("-i", "--stdin", is_flag=True, help="Pass standard input on.")
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal.")
def execute(pod: str, command: tuple[str, ...], container: str | None, stdin: bool, tty: bool) -> None:
    """Run a command in a running container; exit with its code.

    \b
    farnode exec train -- nvidia-smi
    farnode exec -it train -- bash
    farnode exec -i train -- tar xf - < data.tar
    """
    if tty and not (stdin and sys.stdin.isatty()):
        click.echo("standard input is no terminal: -t is ignored", err=True)
        tty = False
    with terminal.raw() if tty else nullcontext():
        code = call(lambda client: _execute(client, pod, command, container, stdin, tty))
    raise click.exceptions.Exit(code)


async def _execute(
    client: AsyncClient, pod: str, command: Sequence[str], container: str | None, stdin: bool, tty: bool
) -> int:
    size = terminal.size() if tty else None
    found = await client.pod(pod)
    session = await client.exec(found, command, container, stdin=stdin, tty=tty, size=size)
    async with session, anyio.create_task_group() as tasks:
        if stdin:
            tasks.start_soon(_send_typed, session)
        if tty:
            tasks.start_soon(_send_sizes, session)
        await _print(session)
        tasks.cancel_scope.cancel()
    assert session.exit_code is not None
    return session.exit_code


async def _print(session: ExecSession) -> None:
    streams = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    async with aclosing(session.output()) as output:
        async for stream, data in output:
            streams[stream].write(data)
            streams[stream].flush()


async def _send_typed(session: ExecSession) -> None:
    async with aclosing(terminal.typed()) as chunks:
        async for chunk in chunks:
            await session.send(chunk)
    await session.close_stdin()


async def _send_sizes(session: ExecSession) -> None:
    with anyio.open_signal_receiver(signal.SIGWINCH) as signals:
        async for _ in signals:
            if (size := terminal.size()) is not None:
                await session.resize(*size)
