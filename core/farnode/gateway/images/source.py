"""Finds who gives an image: mirrors before the registry, the pod's logins before the site's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from farnode.gateway.images.access import Pass, passes
from farnode.gateway.images.credentials import Login
from farnode.gateway.images.endpoints import Endpoint, Endpoints
from farnode.gateway.images.errors import AccessDenied, ImageError
from farnode.gateway.images.reference import Reference
from farnode.gateway.images.session import Session


@dataclass(frozen=True, slots=True)
class Way:
    """How the image can be had, and the digest its name stands for now ("" where the registry does not tell)."""

    endpoint: Endpoint
    used: Pass
    top: str

    @property
    def reference(self) -> Reference:
        """By digest, so that all of it is of one moment."""
        return self.endpoint.reference.at(self.top) if self.top else self.endpoint.reference

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        async with self.endpoint.client() as http:
            yield Session(http, self.endpoint.repository, self.endpoint.reference, self.used.login)


class Source:
    def __init__(self, endpoints: Endpoints, logins: Sequence[Login]) -> None:
        """`logins` are the site's."""
        self._endpoints = endpoints
        self._logins = logins

    async def find(self, reference: Reference, own: Sequence[Login]) -> Way:
        """The first way that leads to the image; else ImageError, the last problem: that of the registry itself."""
        problem: ImageError | None = None
        for endpoint in self._endpoints.of(reference):
            for used in passes(own, self._logins, endpoint.reference):
                try:
                    return await _try(endpoint, used)
                except AccessDenied as denied:
                    problem = denied
                except ImageError as error:
                    problem = error
                    break
        assert problem is not None
        raise problem


async def _try(endpoint: Endpoint, used: Pass) -> Way:
    way = Way(endpoint, used, "")
    async with way.session() as session:
        return Way(endpoint, used, await session.digest(endpoint.reference.version))
