"""The application: routers, errors, description."""

from __future__ import annotations

import time
from collections.abc import Callable

from fastapi import FastAPI

from farnode.gateway.http import exec as execution
from farnode.gateway.http import failures, pods, site
from farnode.gateway.http.context import Authenticator, Context
from farnode.gateway.http.openapi import describe
from farnode.gateway.http.streaming import Streams
from farnode.gateway.port import Service

MAX_BODY = 32 * 1024 * 1024
"""Bytes of one request; a batch of a hundred pods with 300 KiB of inputs each."""
_VERSION = "1"
"""Of the API, not of the software."""
_DESCRIPTION = """\
Pods on a batch system. Every call is scoped to the owner of its token.

WebSocket `/v1/pods/{uid}/exec/{container}?command=…&stdin&tty&rows&cols` speaks `v5.channel.k8s.io` or `v4`.
"""


def create_app(
    service: Service,
    authenticator: Authenticator,
    *,
    max_body: int = MAX_BODY,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """`authenticator` is usually `tokens.Tokens`; `max_body` bounds one request in bytes."""
    app = FastAPI(title="farnode gateway", version=_VERSION, description=_DESCRIPTION, docs_url=None, redoc_url=None)
    app.state.context = Context(service, authenticator, Streams(), clock, max_body)
    failures.install(app)
    for module in (pods, execution, site):
        app.include_router(module.router)
    document = describe(app)
    app.openapi = lambda: document  # type: ignore[method-assign]
    return app
