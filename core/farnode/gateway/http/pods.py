"""Routes of pods, their events and logs."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime
from starlette.requests import Request
from starlette.responses import Response

from farnode.gateway.http.body import batch, deletions, read_json
from farnode.gateway.http.context import Ctx, Who
from farnode.gateway.http.openapi import body, returns
from farnode.model.api import EventView
from farnode.wire.messages import LogOptions

router = APIRouter()

_LARGEST = 2**53 - 1
"""What every reader of JSON takes for a whole number."""
Count = Annotated[int | None, Query(ge=0, le=_LARGEST)]
Uid = Annotated[str, Path(description="The pod's UID.")]


def reply(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


@router.post("/v1/pods", **returns("Verdicts", 400, 413), openapi_extra=body("Bundles"))
async def submit(request: Request, context: Ctx, caller: Who) -> Response:
    """Hand over pods. What is accepted is durable when the answer comes; sending a pod again is harmless."""
    bundles = batch(await read_json(request, context.max_body), "bundles")
    return reply({"verdicts": await context.service.submit(caller, bundles)})


@router.post("/v1/pods/delete", **returns("Verdicts", 400, 413), openapi_extra=body("Deletions"))
async def delete(request: Request, context: Ctx, caller: Who) -> Response:
    """End pods. The intention is durable when the answer comes, and retried until the site confirms."""
    wanted = deletions(await read_json(request, context.max_body))
    return reply({"verdicts": await context.service.delete(caller, wanted)})


@router.put("/v1/pods/{uid}/inputs", **returns("InputsVersion", 400, 404, 409, 413), openapi_extra=body("Inputs"))
async def update_inputs(request: Request, context: Ctx, caller: Who, uid: Uid) -> Response:
    """Replace what a pod was given of ConfigMaps and Secrets: files change while it runs, variables with its next
    attempt."""
    inputs = await read_json(request, context.max_body)
    return reply({"version": await context.service.update_inputs(caller, uid, inputs)})


@router.get("/v1/pods", **returns("Pods"))
async def pods(context: Ctx, caller: Who) -> Response:
    """The caller's pods, and the sequence number to watch from."""
    views, seq = context.service.pods(caller)
    return reply({"pods": views, "seq": seq})


@router.get("/v1/pods/{uid}", **returns("PodView", 404))
async def pod(context: Ctx, caller: Who, uid: Uid) -> Response:
    """One pod with its manifest."""
    return reply(context.service.pod(caller, uid))


@router.get("/v1/events", **returns("EventView", 400, 410, media_type="application/x-ndjson"))
async def events(context: Ctx, caller: Who, after: Count = None) -> Response:
    """Lines of JSON, without end: what changed after a sequence number, or from now on. 410: list again."""
    views = context.service.events(caller, after)
    return await context.streams.respond(views, _lines, "application/x-ndjson", resumable=True)


def _lines(events: list[EventView]) -> bytes:
    return b"".join(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE) for event in events)


@router.get("/v1/pods/{uid}/logs/{container}", **returns(None, 400, 404, 409, media_type="application/octet-stream"))
async def logs(
    context: Ctx,
    caller: Who,
    uid: Uid,
    container: str,
    follow: bool = False,
    previous: bool = False,
    timestamps: bool = False,
    tail: Annotated[Count, Query(alias="tailLines")] = None,
    since: Annotated[Count, Query(alias="sinceSeconds")] = None,
    since_time: Annotated[AwareDatetime | None, Query(alias="sinceTime")] = None,
    limit: Annotated[Count, Query(alias="limitBytes")] = None,
) -> Response:
    """The bytes a container wrote, as v1.PodLogOptions say. A log cut short ends without the end of the body."""
    options = LogOptions(follow=follow, previous=previous, timestamps=timestamps, tail=tail, limit=limit)
    if since_time is not None:
        options["since"] = since_time.timestamp()
    elif since is not None:
        options["since"] = context.clock() - since
    chunks = context.service.logs(caller, uid, container, options)
    return await context.streams.respond(chunks, bytes, "application/octet-stream", resumable=False)
