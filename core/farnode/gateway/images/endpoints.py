"""Where a registry is reached: by which address, with which certificates, and past which mirror."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import httpx

from farnode.errors import Invalid
from farnode.gateway.config import RegistryAccess
from farnode.gateway.images.reference import Reference

_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
"""Seconds a registry has for one answer, or for the next bytes of one; and for a connection."""
_HUB = "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`reference` is what the image is called there; logins for it are chosen by this name. `root` is the registry's
    API, such as `https://quay.io/v2/`."""

    reference: Reference
    root: str
    context: ssl.SSLContext = field(repr=False, compare=False)

    @property
    def repository(self) -> str:
        return f"{self.root}{self.reference.repository}"

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(verify=self.context, timeout=_TIMEOUT)


class Endpoints:
    """Invalid names an authority's file that cannot be used."""

    def __init__(self, registries: Mapping[str, RegistryAccess]) -> None:
        self._registries = registries
        self._default = _context(RegistryAccess())
        self._contexts = {name: _authority(name, access) for name, access in registries.items() if access.ca_file}

    def of(self, reference: Reference) -> list[Endpoint]:
        """In the order they are asked: a mirror before the registry itself."""
        mirror = self._access(reference.registry).mirror
        hosts = [mirror] if mirror else []
        return [self._endpoint(replace(reference, registry=host)) for host in [*hosts, reference.registry]]

    def _endpoint(self, reference: Reference) -> Endpoint:
        name = reference.registry
        scheme = "http" if self._access(name).insecure else "https"
        root = f"{scheme}://{_HUB if name == 'docker.io' else name}/v2/"
        return Endpoint(reference, root, self._contexts.get(name, self._default))

    def _access(self, name: str) -> RegistryAccess:
        return self._registries.get(name) or RegistryAccess()


def _authority(name: str, access: RegistryAccess) -> ssl.SSLContext:
    try:
        return _context(access)
    except OSError as error:  # an SSLError is one
        raise Invalid(f"images.registries.{name}.caFile", f"{access.ca_file} holds no certificates: {error}") from error


def _context(access: RegistryAccess) -> ssl.SSLContext:
    """Trusts what the system trusts: a site's own authority is often installed there."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    if access.ca_file:
        context.load_verify_locations(access.ca_file)
    return context
