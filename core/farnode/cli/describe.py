"""farnode describe."""

from __future__ import annotations

import time

import click

from farnode.cli import story, tables
from farnode.cli.connection import call
from farnode.cli.settings import connected


@click.command()
@connected
@click.argument("pod", metavar="POD")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="Everything, as data.")
def describe(pod: str, output: str | None) -> None:
    """What happened to a pod, where it is and what it waits for.

    \b
    farnode describe train
    farnode describe train -o yaml     its status and manifest
    """
    found = call(lambda client: client.pod(pod))
    click.echo(tables.data(found.view, output) if output else story.tell(found, time.time()))
