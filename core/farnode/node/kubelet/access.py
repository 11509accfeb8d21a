"""Who may ask what: the API server by its client certificate, scrapers of metrics by their bearer token.

A certificate is checked by TLS. Where the authority signs for others, too, as that of a whole cluster does, `Reviewer`
has to say what its holder may do, as kubelets with webhook authorization ask it (Kubernetes, 'Kubelet
authentication/authorization'); without one every holder may do everything. Tokens are good for metrics alone.
Probes need nothing: /healthz says only that the process lives.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from farnode.errors import Denied, FarnodeError, Invalid
from farnode.node.kubelet.settings import KubeletSettings

_OPEN = "/healthz"
_READABLE = {"/metrics": "metrics", "/metrics/resource": "metrics", "/stats/summary": "stats"}
"""The subresource of nodes by which RBAC names a path; all others are `proxy`."""
_VERBS = {"GET": "get", "HEAD": "get", "POST": "create"}


class Reviewer(Protocol):
    """Whether somebody may do a verb with a subresource of nodes. Errors of ours where that cannot be known."""

    async def user(self, name: str, groups: Sequence[str], verb: str, subresource: str) -> bool: ...

    async def token(self, token: str, verb: str, subresource: str) -> bool:
        """Denied for nobody's token."""


def trust(context: ssl.SSLContext, settings: KubeletSettings) -> None:
    """Asks callers for a certificate, and takes none from elsewhere; callers without are judged by `Access`. Invalid
    where the authority's certificates cannot be read."""
    context.set_alpn_protocols(["http/1.1"])
    if settings.client_ca is not None:
        try:
            context.load_verify_locations(settings.client_ca)
        except OSError as error:
            words = f"{settings.client_ca} cannot be used: {error.strerror or error}"
            raise Invalid("kubelet.clientCaFile", words) from error
        context.verify_mode = ssl.CERT_OPTIONAL


class Access:
    """A middleware of the application."""

    def __init__(self, anonymous: bool, reviewer: Reviewer | None) -> None:
        self._anonymous = anonymous
        self._reviewer = reviewer

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        verb, subresource = _VERBS.get(request.method, "update"), _READABLE.get(request.path, "proxy")
        try:
            allowed = self._anonymous or request.path == _OPEN or await self._may(request, verb, subresource)
        except Denied:
            return web.Response(status=401, text="Unauthorized")
        except FarnodeError as error:
            return web.Response(status=503, text=f"the caller cannot be checked: {error}")
        if not allowed:
            return web.Response(status=403, text=f"Forbidden (verb={verb}, resource=nodes, subresource={subresource})")
        return await handler(request)

    async def _may(self, request: web.Request, verb: str, subresource: str) -> bool:
        """Denied when the caller shows nothing that is known."""
        subject = _subject(request)
        if subject is not None:
            return self._reviewer is None or await self._reviewer.user(*subject, verb, subresource)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if self._reviewer is None or scheme.lower() != "bearer" or subresource == "proxy":
            raise Denied("neither certificate nor token")
        return await self._reviewer.token(token.strip(), verb, subresource)


def _subject(request: web.Request) -> tuple[str, Sequence[str]] | None:
    found = request.transport.get_extra_info("peercert") if request.transport is not None else None
    return subject(found) if found else None


def subject(certificate: Mapping[str, Any]) -> tuple[str, Sequence[str]] | None:
    """User and groups of a certificate (`SSLSocket.getpeercert`): its common name and organizations (Kubernetes, 'X509
    client certificates'). As there, one without a common name is nobody's, and of several the last one counts."""
    pairs = [pair for name in certificate.get("subject", ()) for pair in name]
    names = [value for key, value in pairs if key == "commonName"]
    if not names or not names[-1]:
        return None
    return names[-1], [value for key, value in pairs if key == "organizationName"]
