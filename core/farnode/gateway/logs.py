"""Logs of containers that no runner serves any more: which run is meant, and what of it is on the spool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any

from farnode.errors import Invalid, NotFound
from farnode.gateway.records import PodRecord
from farnode.gateway.spool import Spool
from farnode.wire import crilog
from farnode.wire.messages import LogOptions


async def read(spool: Spool, pod: PodRecord, container: str, options: LogOptions) -> AsyncGenerator[bytes]:
    """Invalid where the container has not run, NotFound where the log of the run that is meant is gone."""
    if pod.nonce is None or pod.attempt == 0:
        raise Invalid("", f"container {container} has not started yet: {pod.status.get('message') or 'waiting'}")
    previous = options.get("previous", False)
    name = f"{pod.attempt}.{container}.{_run(pod, container, previous)}.log"
    begun = previous or bool(_status(pod, container).get("containerID"))
    with await asyncio.to_thread(spool.open_log, pod.nonce, pod.uid, name, pod.logs, begun) as file:
        chunks = crilog.select(file, options)
        while chunk := await asyncio.to_thread(partial(next, chunks, b"")):
            yield chunk


def _run(pod: PodRecord, container: str, previous: bool) -> int:
    """Runs are numbered by restart counts, which begin where those of earlier attempts ended."""
    restarts = int(_status(pod, container).get("restartCount", 0))
    if not previous:
        return restarts
    if restarts <= pod.restarts.get(container, 0):
        raise NotFound(f"container {container} has no earlier run")
    return restarts - 1


def _status(pod: PodRecord, container: str) -> Mapping[str, Any]:
    listed = [*pod.status.get("initContainerStatuses", ()), *pod.status.get("containerStatuses", ())]
    return next((one for one in listed if one["name"] == container), {})
