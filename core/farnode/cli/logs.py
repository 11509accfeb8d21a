"""farnode logs."""

from __future__ import annotations

import sys
from contextlib import aclosing

import click

from farnode.cli.connection import BRIEF, LONG, call
from farnode.cli.settings import connected
from farnode.client.aio import AsyncClient
from farnode.client.pod import Pod
from farnode.model.duration import parse_duration


@click.command()
@connected
@click.argument("pod", metavar="POD")
@click.option("-c", "--container", metavar="NAME", help="Of this container.  [default: the pod's first]")
@click.option("-f", "--follow", is_flag=True, help="Go on until the container ends.")
@click.option("-p", "--previous", is_flag=True, help="Of its run before the last restart.")
@click.option("--timestamps", is_flag=True, help="Begin each line with its time.")
@click.option("--since", metavar="DURATION", help="Only what is newer: 30s, 5m, 2h.")
@click.option("--since-time", metavar="TIME", help="Only what is newer than an RFC 3339 time.")
@click.option("--tail", type=click.IntRange(min=-1), default=-1, metavar="N", help="Only the last N lines.")
@click.option("--limit-bytes", type=click.IntRange(min=1), metavar="N", help="At most N bytes.")
def logs(
    pod: str,
    container: str | None,
    follow: bool,
    previous: bool,
    timestamps: bool,
    since: str | None,
    since_time: str | None,
    tail: int,
    limit_bytes: int | None,
) -> None:
    """What a container wrote.

    \b
    farnode logs train
    farnode logs -f --tail 20 train
    farnode logs train -c init-data -p
    """
    if since and since_time:
        raise click.UsageError("--since and --since-time exclude each other")
    tail_lines = None if tail < 0 else tail
    seconds = parse_duration(since, "--since") if since else None

    async def copy(client: AsyncClient) -> None:
        found = await client.pod(pod)
        _say_default(found, container)
        chunks = client.logs(
            found,
            container,
            follow=follow,
            previous=previous,
            timestamps=timestamps,
            tail=tail_lines,
            since=seconds,
            since_time=since_time,
            limit=limit_bytes,
        )
        out = sys.stdout.buffer
        async with aclosing(chunks):
            async for chunk in chunks:
                out.write(chunk)
                out.flush()

    call(copy, LONG if follow else BRIEF)


def _say_default(pod: Pod, container: str | None) -> None:
    if container is None and len(pod.containers) > 1:
        click.echo(f"-c was not given; the containers are {', '.join(pod.containers)}", err=True)
