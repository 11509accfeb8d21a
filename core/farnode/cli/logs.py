"""farnode logs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import anyio
import click

from farnode.cli.connection import BRIEF, LONG, call
from farnode.cli.settings import connected
from farnode.cli.streams import Lines
from farnode.client.aio import AsyncClient
from farnode.client.pod import Pod
from farnode.errors import FarnodeError
from farnode.model.duration import parse_duration


@click.command()
@connected
@click.argument("pod", metavar="POD")
@click.argument("named", metavar="[CONTAINER]", required=False)
@click.option("-c", "--container", metavar="NAME", help="Of this container.  [default: the pod's first]")
@click.option("--all-containers", is_flag=True, help="Of all of them, init containers first.")
@click.option("--prefix", is_flag=True, help="Begin each line with its pod and container.")
@click.option("--ignore-errors", is_flag=True, help="With --all-containers: go on where one's log cannot be read.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the container ends.")
@click.option("-p", "--previous", is_flag=True, help="Of its run before the last restart.")
@click.option("--timestamps", is_flag=True, help="Begin each line with its time.")
@click.option("--since", metavar="DURATION", help="Only what is newer: 30s, 5m, 2h.")
@click.option("--since-time", metavar="TIME", help="Only what is newer than an RFC 3339 time.")
@click.option("--tail", type=click.IntRange(min=-1), default=-1, metavar="N", help="Only the last N lines.")
@click.option("--limit-bytes", type=click.IntRange(min=1), metavar="N", help="At most N bytes.")
def logs(
    pod: str,
    named: str | None,
    container: str | None,
    all_containers: bool,
    prefix: bool,
    ignore_errors: bool,
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
    farnode logs train --all-containers --prefix
    """
    if since and since_time:
        raise click.UsageError("--since and --since-time exclude each other")
    if (container is not None) + (named is not None) + all_containers > 1:
        raise click.UsageError("name one container, or use --all-containers")
    query = {
        "follow": follow,
        "previous": previous,
        "timestamps": timestamps,
        "tail": None if tail < 0 else tail,
        "since": parse_duration(since, "--since") if since else None,
        "since_time": since_time,
        "limit": limit_bytes,
    }

    async def work(client: AsyncClient) -> None:
        found = await client.pod(pod)
        names = [*found.init_containers, *found.containers] if all_containers else [container or named]
        if names == [None]:
            _say_default(found)
        printer = _Printer(client, found, query, prefix, ignore_errors)
        await printer.print([name or found.default_container for name in names], together=follow)

    call(work, LONG if follow else BRIEF)


@dataclass(frozen=True)
class _Printer:
    """Logs of a pod's containers on standard output. Alone and without `prefix` a log is copied byte for byte; else
    only whole lines are written, so that those of several do not mix."""

    client: AsyncClient
    pod: Pod
    query: dict[str, Any]
    prefix: bool
    ignore_errors: bool

    async def print(self, containers: Sequence[str], together: bool) -> None:
        """One after the other, or `together` as they come."""
        by_line = self.prefix or (together and len(containers) > 1)
        if not together:
            for container in containers:
                await self._print(container, by_line)
            return
        async with anyio.create_task_group() as tasks:
            for container in containers:
                tasks.start_soon(self._print, container, by_line)

    async def _print(self, container: str, by_line: bool) -> None:
        lines = Lines(f"[pod/{self.pod.name}/{container}] ".encode() if self.prefix else b"")
        try:
            async with aclosing(self.client.logs(self.pod, container, **self.query)) as chunks:
                async for chunk in chunks:
                    _write(lines.feed(chunk) if by_line else chunk)
        except FarnodeError as error:
            if not self.ignore_errors:
                raise
            click.echo(f"container {container}: {error}", err=True)
        _write(lines.finish())


def _write(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


def _say_default(pod: Pod) -> None:
    if len(pod.containers) > 1:
        click.echo(f"-c was not given; the containers are {', '.join(pod.containers)}", err=True)
