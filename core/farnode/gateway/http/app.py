"""The application: routers, errors, description."""

from __future__ import annotations

import time
from collections.abc import Callable

from fastapi import FastAPI

from farnode.gateway.http import attach, claims, failures, pods, ports, site, stats
from farnode.gateway.http import exec as execution
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

Three WebSockets speak `v5.channel.k8s.io` (the first two `v4`, too):

- `/v1/pods/{uid}/exec/{container}?command=…&stdin&tty&rows&cols`, a command in a running container;
- `/v1/pods/{uid}/attach/{container}?stdin&stdout&stderr&rows&cols`, its main process;
- `/v1/pods/{uid}/ports/{port}`, a TCP connection to what a process of the pod listens at: channel 0 to it, channel 1
  from it, either of which may be half-closed.
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
    for module in (pods, execution, attach, ports, claims, stats, site):
        app.include_router(module.router)
    document = describe(app)
    app.openapi = lambda: document  # type: ignore[method-assign]
    return app
