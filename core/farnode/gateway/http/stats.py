"""The route of what pods use."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from farnode.gateway.http.context import Ctx, Who
from farnode.gateway.http.openapi import returns
from farnode.gateway.http.pods import reply

router = APIRouter()


@router.get("/v1/stats", **returns("StatsView"))
async def stats(context: Ctx, caller: Who) -> Response:
    """What the caller's pods use now: processors, memory, storage, GPUs."""
    return reply(await context.service.stats(caller))
