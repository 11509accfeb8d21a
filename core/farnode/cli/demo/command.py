"""farnode demo."""

from __future__ import annotations

import click

from farnode.cli import tables
from farnode.cli.connection import LONG, call, run
from farnode.cli.demo import embedded, trial
from farnode.cli.demo.trial import Verdict
from farnode.cli.settings import Settings, connected
from farnode.client.aio import AsyncClient


@click.command()
@connected
def demo() -> None:
    """Run every kind of pod and compare what was expected with what came; exit 0 only when all is as expected.

    Without --site this machine plays the site, with four pretended GPUs and without images; nothing of it stays.

    \b
    farnode demo
    farnode demo --site leonardo       there, with images
    """
    verdicts = call(lambda client: trial.run(client, {}), LONG) if Settings.current().site else run(_here)
    rows = [
        ["POD", "SHOWS", "EXPECTED", "GOT", ""],
        *([each.case.name, each.case.shows, each.case.expected, each.got, _mark(each)] for each in verdicts),
    ]
    click.echo("\n" + tables.columns(rows))
    if not all(each.well for each in verdicts):
        raise click.exceptions.Exit(1)


async def _here() -> list[Verdict]:
    async with embedded.site() as site, AsyncClient(site, patience=LONG) as client:
        return await trial.run(client, {"runtime": "process"})


def _mark(verdict: Verdict) -> str:
    return "ok" if verdict.well else "NOT AS EXPECTED"
