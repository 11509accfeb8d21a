"""The route of a pod's ports: a WebSocket for each connection. OpenAPI has no word for it; see `channels`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.websockets import WebSocket

from farnode.gateway.http.channels import PROTOCOLS, carry, offered
from farnode.gateway.http.context import Ctx, Who

router = APIRouter()

_HALF_CLOSING = PROTOCOLS[:1]
"""A connection has two directions, and each ends by itself."""


@router.websocket("/v1/pods/{uid}/ports/{port}")
async def port(
    websocket: WebSocket, context: Ctx, caller: Who, uid: str, port: Annotated[int, Path(ge=1, le=65535)]
) -> None:
    """A TCP connection to a port at which a process of the pod listens: channel 0 to it, channel 1 from it."""
    protocol = offered(websocket, _HALF_CLOSING)
    stream = await context.service.port(caller, uid, port)
    await carry(websocket, protocol, stream, True, context.streams)
