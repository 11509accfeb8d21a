"""The route of exec: a WebSocket. OpenAPI has no word for it; see `channels`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.websockets import WebSocket

from farnode.errors import Invalid
from farnode.gateway.http.channels import PROTOCOLS, bridge, end
from farnode.gateway.http.context import Ctx, Who
from farnode.wire.messages import ExecOptions

router = APIRouter()

_RESTART = 1012
"""The WebSocket code of a server that restarts."""
Cells = Annotated[int | None, Query(ge=1, le=65535)]


@router.websocket("/v1/pods/{uid}/exec/{container}")
async def execute(
    websocket: WebSocket,
    context: Ctx,
    caller: Who,
    uid: str,
    container: str,
    command: Annotated[list[str] | None, Query()] = None,
    stdin: bool = False,
    tty: bool = False,
    rows: Cells = None,
    cols: Cells = None,
) -> None:
    """What is refused is refused before the upgrade, as JSON with its proper status."""
    protocol = next((name for name in PROTOCOLS if name in websocket.scope["subprotocols"]), None)
    if protocol is None:
        raise Invalid("Sec-WebSocket-Protocol", f"offers nothing known here; accepted: {', '.join(PROTOCOLS)}")
    if not command:
        raise Invalid("command", "is missing; accepted: one or more command=… parameters, an argument each")
    options = ExecOptions(command=command, stdin=stdin, tty=tty)
    if rows and cols:
        options |= {"rows": rows, "cols": cols}
    stream = await context.service.exec(caller, uid, container, options)
    try:
        await websocket.accept(protocol)
        with context.streams.cancellable() as scope:
            await bridge(websocket, stream, stdin)
    finally:
        await end(stream, "the gateway ended the stream")
    if scope.cancelled_caught:
        await websocket.close(_RESTART)
