"""A pod somebody talks to from its first moment: `run -i`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

import anyio
import click

from farnode.cli.attach import to_main_process
from farnode.cli.views import Lines
from farnode.client.aio import AsyncClient
from farnode.client.intake import Document
from farnode.client.pod import Pod
from farnode.errors import Invalid, NotFound, Permanent

_REMOVAL = 10.0
"""Seconds a removal may take; whoever pressed Ctrl-C waits for it."""


async def interact(client: AsyncClient, documents: Sequence[Document], tty: bool) -> int:
    """Submits the pod, attaches to it, and returns its exit code. A pod that had said all before there was anybody to
    hear it shows its log."""
    (pod,) = await client.submit(documents)
    pod = await _started(client, pod)
    try:
        end = await to_main_process(client, pod, pod.default_container, True, tty)
        if not end.printed:
            await _copy_log(client, pod)
    except (Invalid, Permanent) as error:
        click.echo(f"cannot attach to it ({error}); its log:", err=True)
        await _copy_log(client, pod)
    ended = await client.wait(pod)
    return 0 if ended.succeeded else ended.exit_code() or 1


async def removed(client: AsyncClient, documents: Sequence[Document], work: Callable[[], Awaitable[int]]) -> int:
    """The pods of `work` do not outlive it, nor do their logs."""
    try:
        return await work()
    finally:
        with anyio.move_on_after(_REMOVAL, shield=True):
            await client.delete([document["pod"]["metadata"]["uid"] for document in documents], purge=True)


async def _started(client: AsyncClient, pod: Pod) -> Pod:
    """When its container runs, or it has ended."""
    shown = Lines()
    async with aclosing(client.watch()) as events:
        async for event in events:
            if event.get("uid") != pod.uid:
                continue
            if event["type"] == "gone":
                raise NotFound(f"pod {pod} was removed by somebody else")
            now = Pod(event["pod"])
            shown.show([now])
            if now.ended or now.phase == "Running":
                break
    return await client.pod(pod)


async def _copy_log(client: AsyncClient, pod: Pod) -> None:
    async with aclosing(client.logs(pod, follow=True)) as chunks:
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
