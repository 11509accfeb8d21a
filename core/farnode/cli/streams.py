"""What several containers write, on one standard output."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import aclosing

import click
from anyio.abc import TaskGroup

from farnode.client.aio import AsyncClient
from farnode.client.pod import Pod
from farnode.errors import FarnodeError

_LONGEST = 1024 * 1024
"""Bytes of a line that are kept until its end comes; a longer one is broken."""


class Lines:
    """Whole lines of chunks, each behind a mark, so that several streams can share one output."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LONGEST:
            lines.append(self._rest)
            self._rest = b""
        return b"".join(self._mark + line + b"\n" for line in lines)

    def finish(self) -> bytes:
        """The last line, where it was not ended."""
        rest, self._rest = self._rest, b""
        return self._mark + rest + b"\n" if rest else b""


class LogStreams:
    """Follows each container from its start. One alone is copied byte for byte; of several each line is marked with
    the container's name (and the pod's, where there are several)."""

    def __init__(self, client: AsyncClient, pods: Mapping[str, Pod]) -> None:
        self._client = client
        self._several_pods = len(pods) > 1
        self._marked = self._several_pods or any(len(_names(pod)) > 1 for pod in pods.values())
        self._followed: set[tuple[str, str]] = set()

    def follow(self, pod: Pod, tasks: TaskGroup) -> None:
        """Starts following what has started since; `tasks` ends when all have been written."""
        for name, status in pod.container_statuses.items():
            begun = (status.get("state") or {}).keys() & {"running", "terminated"}
            if begun and (pod.uid, name) not in self._followed:
                self._followed.add((pod.uid, name))
                tasks.start_soon(self._copy, pod, name)

    async def _copy(self, pod: Pod, container: str) -> None:
        out = sys.stdout.buffer
        lines = Lines(self._mark(pod, container))
        try:
            async with aclosing(self._client.logs(pod, container, follow=True)) as chunks:
                async for chunk in chunks:
                    out.write(lines.feed(chunk) if self._marked else chunk)
                    out.flush()
        except FarnodeError as error:
            click.echo(f"the log of {pod}, container {container}, ends here: {error}", err=True)
        out.write(lines.finish())
        out.flush()

    def _mark(self, pod: Pod, container: str) -> bytes:
        return f"[{f'{pod.name}/' if self._several_pods else ''}{container}] ".encode()


def _names(pod: Pod) -> list[str]:
    return [*pod.init_containers, *pod.containers]
