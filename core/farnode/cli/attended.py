"""Pods somebody waits for before a terminal: what becomes of them, what they write, and Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext

import anyio
import click
from anyio.abc import TaskGroup

from farnode.cli.streams import LogStreams
from farnode.cli.views import Lines, View
from farnode.client.aio import AsyncClient
from farnode.client.intake import Document
from farnode.client.pod import Pod
from farnode.errors import NotFound

_INTERRUPTED = 130


async def attend(client: AsyncClient, documents: Sequence[Document], logs: bool) -> int:
    """Submits them and returns their exit code: that of the first that failed, 0 when all succeeded."""
    pods = {pod.uid: pod for pod in await client.submit(documents)}
    attendance = Attendance(client, pods, LogStreams(client, pods) if logs else None)
    with view_for(len(pods), logs) as view:
        return await attendance.finish(view)


def view_for(pods: int, logs: bool) -> AbstractContextManager[View]:
    """A table that changes in place for several pods on a terminal, else lines."""
    if pods > 1 and not logs and sys.stdout.isatty():
        from farnode.cli.live import LiveTable  # rich costs 60 ms, which nobody else need pay

        return LiveTable()
    return nullcontext(Lines())


class Attendance:
    """Some pods, until they have ended or are left."""

    def __init__(self, client: AsyncClient, pods: dict[str, Pod], logs: LogStreams | None) -> None:
        self._client = client
        self._pods = pods
        self._logs = logs
        self._left = False

    async def finish(self, view: View) -> int:
        """The exit code; 130 when they were left to end by themselves."""
        view.show(list(self._pods.values()))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._heed_interrupts, tasks)
            await self._follow(view)
            tasks.cancel_scope.cancel()
        return _INTERRUPTED if self._left else self._exit_code()

    async def _follow(self, view: View) -> None:
        async with anyio.create_task_group() as writing, aclosing(self._client.watch()) as events:
            async for event in events:
                if event["uid"] not in self._pods:
                    continue
                if event["type"] == "gone":
                    raise NotFound(f"pod {self._pods[event['uid']]} was removed by somebody else")
                pod = self._pods[event["uid"]] = Pod(event["pod"])
                view.show([pod])
                if self._logs is not None:
                    self._logs.follow(pod, writing)
                if all(pod.ended for pod in self._pods.values()):
                    break

    def _exit_code(self) -> int:
        failed = [pod for pod in self._pods.values() if not pod.succeeded]
        return (failed[0].exit_code() or 1) if failed else 0

    async def _heed_interrupts(self, tasks: TaskGroup) -> None:
        with anyio.open_signal_receiver(signal.SIGINT) as signals:
            await anext(signals)
            click.echo("ending the pods; Ctrl-C again leaves them to it", err=True)
            tasks.start_soon(self._end)
            await anext(signals)
            self._left = True
            tasks.cancel_scope.cancel()

    async def _end(self) -> None:
        await self._client.delete([pod for pod in self._pods.values() if not pod.ended])
