"""The route of logs. What cannot be read is said in the kubelet's words, which kubectl shows as they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from aiohttp import web

from farnode.errors import FarnodeError, Invalid, NotFound, Transient
from farnode.node.kubelet import requests
from farnode.node.kubelet.pods import Pods
from farnode.node.kubelet.requests import Named, flag, number
from farnode.node.kubelet.streams import Streams

Json = dict[str, Any]
Options = dict[str, Any]
Chunks = AsyncGenerator[bytes, None]
log = logging.getLogger(__name__)

_FIRST = 3.0
"""Seconds the answer's headers of a followed log wait for its first bytes, or for the error that is its status."""
_ANSWER = 30.0
"""Seconds for the first bytes of any other."""
_STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
_PULLS = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


class ContainerLogs:
    """The handler."""

    def __init__(self, pods: Pods, streams: Streams) -> None:
        self._pods = pods
        self._streams = streams

    async def read(self, request: web.Request) -> web.StreamResponse:
        """What a container wrote, as v1.PodLogOptions say. A log cut short ends without the end of the body."""
        name, query = requests.named(self._pods, request.match_info), request.query
        options = _options(query)
        with self._streams.admitted():
            async with aclosing(name.target.client.logs(name.target.uid, name.container, **options)) as chunks:
                return await _respond(request, name, chunks, options)


async def _respond(request: web.Request, name: Named, chunks: Chunks, options: Options) -> web.StreamResponse:
    first = asyncio.ensure_future(anext(chunks, None))
    try:
        await _begun(first, options["follow"])
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await _write(request, response, first, chunks)
    except (Invalid, NotFound) as error:
        words = unavailable(name.target.pod.get("status") or {}, name.pod, name.container, options["previous"])
        raise Invalid("", words) if words else error from None
    finally:
        first.cancel()
        await asyncio.wait({first})
    return response


async def _begun(first: asyncio.Future[bytes | None], follow: bool) -> None:
    """Returns when the answer may begin, raises what it is instead."""
    await asyncio.wait({first}, timeout=_FIRST if follow else _ANSWER)
    if first.done():
        first.result()
    elif not follow:
        raise Transient("the site did not answer in time")


async def _write(
    request: web.Request, response: web.StreamResponse, first: asyncio.Future[bytes | None], chunks: Chunks
) -> None:
    """Where the log cannot be read to its end, the connection is closed before that of the body."""
    try:
        chunk = await first
        while chunk is not None:
            await response.write(chunk)
            chunk = await anext(chunks, None)
        await response.write_eof()
    except FarnodeError as error:
        log.warning("a log was cut off: %s", error)
        if request.transport is not None:
            request.transport.close()


def _options(query: Mapping[str, str]) -> Options:
    """Of AsyncClient.logs."""
    if query.get("stream", "All") != "All":
        raise Invalid("stream", f"is {query['stream'][:40]!r}; accepted: All, for what is written is kept in one order")
    if query.get("sinceSeconds") and query.get("sinceTime"):
        raise Invalid("sinceTime", "at most one of `sinceTime` or `sinceSeconds` may be specified")
    return {
        "follow": flag(query, "follow"),
        "previous": flag(query, "previous"),
        "timestamps": flag(query, "timestamps"),
        "tail": number(query, "tailLines", 0),
        "since": number(query, "sinceSeconds", 1),
        "since_time": query.get("sinceTime") or None,
        "limit": number(query, "limitBytes", 1),
    }


def unavailable(status: Json, pod: str, container: str, previous: bool) -> str | None:
    """Why a container has no log, of a v1.PodStatus; None when it should have one (kubelet_pods.go,
    validateContainerLogStatus)."""
    listed = [one for kind in _STATUSES for one in status.get(kind) or ()]
    found = next((one for one in listed if one["name"] == container), None)
    what = f'container "{container}" in pod "{pod}"'
    if found is None:
        return f"{what} is not available"
    state, last = found.get("state") or {}, (found.get("lastState") or {}).get("terminated")
    if previous:
        return None if last and last.get("containerID") else f"previous terminated {what} not found"
    if "running" in state:
        return None
    ended = [one for one in (state.get("terminated"), last) if one is not None]
    if ended:
        return None if any(one.get("containerID") for one in ended) else f"{what} is terminated"
    reason = (state.get("waiting") or {}).get("reason")
    return f"{what} is waiting to start" + (f": {_PULLS.get(reason, reason)}" if reason else " - no logs yet")
