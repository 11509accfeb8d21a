"""The route of exec: a WebSocket. OpenAPI has no word for it; see `channels`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.websockets import WebSocket

from farnode.errors import Invalid
from farnode.gateway.http.channels import Cells, carry, offered
from farnode.gateway.http.context import Ctx, Who
from farnode.wire.messages import ExecOptions

router = APIRouter()


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
    """A command in a running container."""
    protocol = offered(websocket)
    if not command:
        raise Invalid("command", "is missing; accepted: one or more command=… parameters, an argument each")
    options = ExecOptions(command=command, stdin=stdin, tty=tty)
    if rows and cols:
        options |= {"rows": rows, "cols": cols}
    stream = await context.service.exec(caller, uid, container, options)
    await carry(websocket, protocol, stream, stdin, context.streams)
