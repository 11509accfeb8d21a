"""farnode exec."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import click

from farnode.cli import session, terminal
from farnode.cli.connection import call
from farnode.cli.settings import connected
from farnode.client.aio import AsyncClient


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
    tty = session.usable_terminal(tty, stdin)
    with terminal.raw() if tty else nullcontext():
        code = call(lambda client: _execute(client, pod, command, container, stdin, tty))
    raise click.exceptions.Exit(code)


async def _execute(
    client: AsyncClient, pod: str, command: Sequence[str], container: str | None, stdin: bool, tty: bool
) -> int:
    size = terminal.size() if tty else None
    found = await client.pod(pod)
    begun = await client.exec(found, command, container, stdin=stdin, tty=tty, size=size)
    return (await session.attend(begun, stdin, tty)).code
