"""farnode top."""

from __future__ import annotations

import os
import sys
import time

import anyio
import click

from farnode.cli import tables
from farnode.cli.connection import call
from farnode.cli.overview import Overview, overview
from farnode.cli.settings import connected
from farnode.client.aio import AsyncClient
from farnode.errors import Transient

MOST = 100
"""Rows of a table of the text that is printed once; data has all."""

LEAVE = "Ctrl-C to leave"


@click.command()
@connected
@click.option("--once", is_flag=True, help="Print it once; so does output that is no terminal.")
@click.option("--interval", type=click.FloatRange(min=0.2), default=2.0, show_default=True, help="Seconds between.")
@click.option("--pods", is_flag=True, help="Also what runs where.")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="Everything once, as data.")
def top(once: bool, interval: float, pods: bool, output: str | None) -> None:
    """What a site is doing, until Ctrl-C: its allocations and their use, what waits and why, calls to the batch system
    and node-hours of the day.

    \b
    farnode top
    farnode top --pods                 also which pods run where
    farnode top --once | less
    farnode top -o json | jq .waiting
    """
    if output:
        click.echo(tables.data(call(AsyncClient.site), output))
    elif once or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        click.echo(overview(call(AsyncClient.site), time.time(), pods).text(MOST))
    else:
        call(lambda client: _follow(client, interval, pods))


async def _follow(client: AsyncClient, interval: float, pods: bool) -> None:
    from rich.live import Live  # costs 60 ms, which nobody else need pay

    from farnode.cli.screen import drawn

    shown, note = await _look(client, pods), LEAVE
    with Live(screen=True, auto_refresh=False) as live:
        while True:
            live.update(drawn(shown, note, *live.console.size), refresh=True)
            await anyio.sleep(interval)
            try:
                shown, note = await _look(client, pods), LEAVE
            except Transient as error:
                note = f"as it was before: {error}"


async def _look(client: AsyncClient, pods: bool) -> Overview:
    return overview(await client.site(), time.time(), pods)
