"""farnode delete."""

from __future__ import annotations

import click

from farnode.cli.connection import call
from farnode.cli.settings import connected
from farnode.client.aio import AsyncClient
from farnode.client.pod import Pod


@click.command()
@connected
@click.argument("pods", metavar="[POD]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of your pods at the site.")
@click.option("--grace-period", type=click.IntRange(min=0), metavar="SECONDS", help="Instead of the pod's own.")
@click.option("--now", is_flag=True, help="With a grace period of 1 second.")
@click.option("--purge", is_flag=True, help="Also remove records and logs.")
def delete(pods: tuple[str, ...], everything: bool, grace_period: int | None, now: bool, purge: bool) -> None:
    """End pods, with grace. What one wrote can be read until its record is purged or expires.

    \b
    farnode delete train
    farnode delete --now train-1 train-2
    farnode delete --all --purge
    """
    if bool(pods) == everything:
        raise click.UsageError("name pods, or use --all")
    if now and grace_period is not None:
        raise click.UsageError("--now and --grace-period exclude each other")
    grace = 1 if now else grace_period
    call(lambda client: _delete(client, pods, grace, purge))


async def _delete(client: AsyncClient, wanted: tuple[str, ...], grace: int | None, purge: bool) -> None:
    found = [await client.pod(name) for name in wanted] if wanted else _worth_it(await client.pods(), purge)
    await client.delete(found, grace=grace, purge=purge)
    for pod in found:
        click.echo(f"pod {pod} {'purged' if pod.ended else 'deleted'}")


def _worth_it(found: list[Pod], purge: bool) -> list[Pod]:
    return [pod for pod in found if purge or not pod.ended]
