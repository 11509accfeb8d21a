"""farnode describe."""

from __future__ import annotations

import time

import click

from farnode.cli import story, tables
from farnode.cli.connection import call
from farnode.cli.settings import Settings, connected
from farnode.client.aio import AsyncClient
from farnode.client.pod import Pod
from farnode.errors import FarnodeError
from farnode.model.api import PodUsage, SiteView


@click.command()
@connected
@click.argument("pod", metavar="POD")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="Everything, as data.")
def describe(pod: str, output: str | None) -> None:
    """What happened to a pod, where it is, what it waits for and what it uses. Values of secrets are never shown.

    \b
    farnode describe train
    farnode describe train -o yaml     its status, manifest and use
    """

    async def ask(client: AsyncClient) -> tuple[Pod, PodUsage | None, SiteView | None]:
        found = await client.pod(pod)
        waits = "queuedAt" in found.view
        usage = None if found.ended or not found.attempt else await _usage(client, found)
        return found, usage, await client.site() if waits and not output else None

    found, usage, around = call(ask)
    if output:
        click.echo(tables.data({**found.view, "usage": usage} if usage else found.view, output))
    else:
        click.echo(story.tell(found, time.time(), usage, Settings.current().chosen().name, around))


async def _usage(client: AsyncClient, pod: Pod) -> PodUsage | None:
    """None where its runner does not say, or the gateway is of an age that cannot: the rest of the story counts."""
    try:
        return next((one for one in (await client.stats())["pods"] if one["uid"] == pod.uid), None)
    except FarnodeError:
        return None
