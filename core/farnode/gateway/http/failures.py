"""Errors as JSON, `{"error": {"code", "field", "message"}}`; nothing else leaves the API, whatever went wrong."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response

from farnode.errors import Denied, FarnodeError, Invalid, NotFound, Permanent, Transient
from farnode.gateway.port import EventsGone

_log = logging.getLogger(__name__)


class Unauthenticated(Exception):
    """No token, or an unknown one; unlike Denied, another token may help."""


class TooLarge(Exception):
    """The body exceeds what one request may carry."""


CODES = {
    400: "invalid",
    401: "unauthenticated",
    403: "denied",
    404: "notFound",
    405: "methodNotAllowed",
    409: "conflict",
    410: "gone",
    413: "tooLarge",
    500: "internal",
    503: "transient",
}
"""`error.code` by status."""

_STATUS: Sequence[tuple[type[Exception], int]] = (
    (Invalid, 400),
    (Unauthenticated, 401),
    (Denied, 403),
    (NotFound, 404),
    (Permanent, 409),
    (EventsGone, 410),
    (TooLarge, 413),
    (Transient, 503),
)


def failure(status: int, message: str, field: str = "", headers: Mapping[str, str] | None = None) -> Response:
    content = {"error": {"code": CODES.get(status, "error"), "field": field, "message": message}}
    return Response(json.dumps(content), status, headers, "application/json")


async def _expected(_: HTTPConnection, error: Exception) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if isinstance(error, Invalid):
        return failure(status, error.problem, error.field)
    headers: dict[str, str] = {}
    if isinstance(error, Transient):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after or 1)))
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if status == 500:
        _log.error("an error with no status of its own", exc_info=error)
    return failure(status, str(error) or CODES[status], headers=headers)


async def _malformed(_: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | WebSocketRequestValidationError)
    first: Mapping[str, Any] = error.errors()[0]
    return failure(400, first["msg"], ".".join(str(part) for part in first["loc"][1:]))


async def _routing(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:  # the router names the methods of one route, where a path may have two
        methods = connection.app.openapi()["paths"].get(connection.scope["path"])
        headers |= {"Allow": ", ".join(sorted(method.upper() for method in methods))} if methods else {}
    return failure(error.status_code, f"{error.detail}: see /openapi.json", headers=headers)


async def _defect(_: HTTPConnection, error: Exception) -> Response:
    return failure(500, f"a defect of the gateway ({type(error).__name__}); its log has more")


def install(app: FastAPI) -> None:
    for kind in (FarnodeError, Unauthenticated, TooLarge, EventsGone):
        app.add_exception_handler(kind, _expected)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(WebSocketRequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _routing)
    app.add_exception_handler(Exception, _defect)
