"""What every request needs of the application, and who calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends
from starlette.requests import HTTPConnection

from farnode.errors import Denied
from farnode.gateway.http.failures import Unauthenticated
from farnode.gateway.http.streaming import Streams
from farnode.gateway.port import Caller, Service


class Authenticator(Protocol):
    """`tokens.Tokens` is one."""

    def authenticate(self, header: str | None) -> Caller:
        """The caller with this Authorization header; raises Denied."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """`max_body` is bytes of one request. `clock` gives seconds since the epoch."""

    service: Service
    authenticator: Authenticator
    streams: Streams
    clock: Callable[[], float]
    max_body: int


async def _context(connection: HTTPConnection) -> Context:
    context: Context = connection.app.state.context
    return context


Ctx = Annotated[Context, Depends(_context)]


async def _caller(connection: HTTPConnection, context: Ctx) -> Caller:
    try:
        return context.authenticator.authenticate(connection.headers.get("authorization"))
    except Denied as denied:
        raise Unauthenticated(str(denied)) from denied


Who = Annotated[Caller, Depends(_caller)]


async def _administrator(caller: Who) -> Caller:
    if not caller.admin:
        raise Denied(f"{caller.owner} may not do this; accepted: a token of role admin")
    return caller


Administrator = Annotated[Caller, Depends(_administrator)]
