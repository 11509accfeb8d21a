"""The route of attach: a WebSocket. OpenAPI has no word for it; see `channels`."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.websockets import WebSocket

from farnode.errors import Invalid
from farnode.gateway.http.channels import Cells, carry, offered
from farnode.gateway.http.context import Ctx, Who
from farnode.wire.messages import AttachOptions

router = APIRouter()


@router.websocket("/v1/pods/{uid}/attach/{container}")
async def attach(
    websocket: WebSocket,
    context: Ctx,
    caller: Who,
    uid: str,
    container: str,
    stdin: bool = False,
    stdout: bool = True,
    stderr: bool = True,
    rows: Cells = None,
    cols: Cells = None,
) -> None:
    """What a container's main process puts out from now on, and input for it; leaving it does not end it."""
    protocol = offered(websocket)
    if not (stdin or stdout or stderr):
        raise Invalid("stdin", "nothing is wanted; accepted: at least one of stdin, stdout, stderr")
    options = AttachOptions(stdin=stdin, stdout=stdout, stderr=stderr)
    if rows and cols:
        options |= {"rows": rows, "cols": cols}
    stream = await context.service.attach(caller, uid, container, options)
    await carry(websocket, protocol, stream, stdin, context.streams)
