"""farnode ps."""

from __future__ import annotations

import time
from contextlib import aclosing

import click

from farnode.cli import tables
from farnode.cli.connection import LONG, call
from farnode.cli.settings import connected
from farnode.client.aio import AsyncClient
from farnode.client.pod import Pod


@click.command()
@connected
@click.argument("pods", metavar="[POD]...", nargs=-1)
@click.option("-o", "--output", type=tables.FORMATS, help="Other columns, or data.")
@click.option("-w", "--watch", is_flag=True, help="Go on with a line per change.")
def ps(pods: tuple[str, ...], output: str | None, watch: bool) -> None:
    """Your pods at a site.

    \b
    farnode ps
    farnode ps -o wide                 where they are, what they wait for
    farnode ps -w train                follow one
    farnode ps -o json | jq '.[].status.phase'
    """
    if watch:
        call(lambda client: _watch(client, pods, output), LONG)
        return
    found = call(lambda client: _find(client, pods))
    if not found and output in (None, "wide"):
        click.echo("No pods.", err=True)
    elif found or output in ("json", "yaml"):
        click.echo(tables.pods(found, output, time.time()))


async def _find(client: AsyncClient, wanted: tuple[str, ...]) -> list[Pod]:
    if wanted:
        return [await client.pod(name) for name in wanted]
    return sorted(await client.pods(), key=lambda pod: (pod.created_at, str(pod)))


async def _watch(client: AsyncClient, wanted: tuple[str, ...], output: str | None) -> None:
    uids = {pod.uid for pod in await _find(client, wanted)} if wanted else None
    printed = Lines(output)
    async with aclosing(client.watch()) as events:
        async for event in events:
            if event["type"] == "pod" and (uids is None or event["uid"] in uids):
                printed.show(Pod(event["pod"]))


class Lines:
    """A line per visible change, below one heading; data as one document per change."""

    def __init__(self, form: str | None) -> None:
        self._form = form
        self._shown: dict[str, list[str]] = {}
        self._widths: list[int] = []

    def show(self, pod: Pod) -> None:
        if self._form in ("json", "yaml", "name"):
            click.echo(tables.pods([pod], self._form, 0.0))
            return
        wide = self._form == "wide"
        row = tables.row(pod, time.time(), True, wide)
        if self._shown.get(pod.uid) == (unchanging := [*row[:5], *row[6:]]):
            return
        if not self._shown:
            self._line(tables.heading(True, wide))
        self._shown[pod.uid] = unchanging
        self._line(row)

    def _line(self, cells: list[str]) -> None:
        known = self._widths or [0] * len(cells)
        self._widths = [max(width, len(cell)) for width, cell in zip(known, cells, strict=True)]
        padded = (cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True))
        click.echo("   ".join(padded).rstrip())
