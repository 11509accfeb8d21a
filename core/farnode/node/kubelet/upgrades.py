"""What an upgrade request asks for. Refusals are those of k8s.io/apimachinery's httpstream."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from farnode.errors import Invalid

SPDY = "SPDY/3.1"


def is_websocket(request: web.Request) -> bool:
    return _upgrade(request) == "websocket"


def negotiated(request: web.Request, known: Sequence[str]) -> str:
    """The first of `known` that a SPDY client offers, "" where it offers nothing at all, as the oldest ones do. Invalid
    where no SPDY is asked for, or nothing known is offered."""
    if _upgrade(request) != SPDY.lower():
        raise Invalid("Upgrade", f"is missing; accepted: websocket, {SPDY}")
    lines = request.headers.getall("X-Stream-Protocol-Version", [])
    offered = [name.strip() for line in lines for name in line.split(",") if name.strip()]
    if not offered:
        return ""
    if (found := next((name for name in known if name in offered), None)) is None:
        words = f"client supports {', '.join(offered)}, server accepts {', '.join(known)}"
        raise Invalid("", f"unable to upgrade: unable to negotiate protocol: {words}")
    return found


def offered_protocols(request: web.Request) -> list[str]:
    """Of a WebSocket."""
    lines = request.headers.getall("Sec-WebSocket-Protocol", [])
    return [name.strip() for line in lines for name in line.split(",") if name.strip()]


def _upgrade(request: web.Request) -> str:
    return request.headers.get("Upgrade", "").strip().lower()
