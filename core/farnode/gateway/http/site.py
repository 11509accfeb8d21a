"""Routes of the site as a whole, and those that say how the gateway is."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from farnode.errors import Invalid, Transient
from farnode.gateway.http.body import read_json
from farnode.gateway.http.context import Administrator, Ctx, Who
from farnode.gateway.http.openapi import OPEN, body, returns
from farnode.gateway.http.pods import reply

router = APIRouter()

_METRICS = "text/plain; version=0.0.4"
"""Prometheus' text format."""


@router.get("/v1/site", **returns("SiteView"))
async def site(context: Ctx, caller: Who) -> Response:
    """What the site offers, what runs there, and how it is."""
    return reply(context.service.site(caller))


@router.post("/v1/site/drain", **returns("SiteView", 400, 403, 413), openapi_extra=body("Drain"))
async def drain(request: Request, context: Ctx, caller: Administrator) -> Response:
    """Accept no more pods, or accept them again."""
    wanted = (await read_json(request, context.max_body)).get("drain")
    if not isinstance(wanted, bool):
        raise Invalid("drain", "is neither true nor false")
    return reply(await context.service.drain(caller, wanted))


@router.post("/v1/site/stop", **returns("Stopped", 403))
async def stop(context: Ctx, caller: Administrator) -> Response:
    """End every pod and every allocation."""
    return reply({"pods": await context.service.stop(caller)})


@router.get("/metrics", **returns(None, media_type=_METRICS))
async def metrics(context: Ctx, _: Who) -> Response:
    """Prometheus' text format."""
    return PlainTextResponse(context.service.metrics(), media_type=_METRICS)


@router.get("/healthz", **returns(None, media_type="text/plain", needs_token=False), openapi_extra=OPEN)
async def healthz() -> Response:
    """The process answers."""
    return PlainTextResponse("ok\n")


@router.get("/readyz", **returns(None, 503, media_type="text/plain", needs_token=False), openapi_extra=OPEN)
async def readyz(context: Ctx) -> Response:
    """Pods can be handed over; 503 says what is missing."""
    missing = context.service.ready()
    if missing is not None:
        raise Transient(missing)
    return PlainTextResponse("ok\n")
