"""The part of the OCI distribution API that is needed: which manifest a tag is now, and the image's configuration.

Layers are fetched by apptainer. Clients for Python found when this was written are synchronous (oras, dxf), or gone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from farnode.gateway.images.credentials import Login
from farnode.gateway.images.errors import ImageError
from farnode.gateway.images.reference import Reference

_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_LARGEST = 8 * 1024 * 1024
"""Bytes of a manifest or configuration; registries refuse manifests over 4 MiB."""
_CHALLENGE = re.compile(r'([a-zA-Z]+)="([^"]*)"')
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_HUB = "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class Resolved:
    """`digest` is that of the manifest for this architecture; `config` the `config` part of the image's JSON."""

    digest: str
    config: Mapping[str, Any]


class Registry:
    """`insecure` names registries (`host:port`) spoken to without TLS. The caller closes `http`."""

    def __init__(self, http: httpx.AsyncClient, insecure: Collection[str] = ()) -> None:
        self._http = http
        self._insecure = frozenset(insecure)

    async def resolve(self, reference: Reference, login: Login | None) -> Resolved:
        """ImageError (ErrImagePull) when there is no such image, or it is not for this caller or architecture."""
        session = _Session(self._http, self._base(reference), reference, login)
        digest, manifest = await session.get("manifests", reference.version)
        if manifest.get("mediaType") in _INDEXES or "manifests" in manifest:
            digest, manifest = await session.get("manifests", _choose(reference, manifest))
        try:
            _, content = await session.get("blobs", manifest["config"]["digest"])
        except (KeyError, TypeError) as error:
            raise ImageError("ErrImagePull", f"{reference.name} is no container image: no configuration") from error
        return Resolved(digest, content.get("config") or {})

    def _base(self, reference: Reference) -> str:
        scheme = "http" if reference.registry in self._insecure else "https"
        return f"{scheme}://{_HUB if reference.registry == 'docker.io' else reference.registry}/v2"


class _Session:
    """One image's requests, with the token the registry gave for it."""

    def __init__(self, http: httpx.AsyncClient, base: str, reference: Reference, login: Login | None) -> None:
        self._http = http
        self._repository = f"{base}/{reference.repository}"
        self._reference = reference
        self._login = login
        self._headers = {"accept": ", ".join((*_INDEXES, *_MANIFESTS))}

    async def get(self, kind: str, version: str) -> tuple[str, dict[str, Any]]:
        """A manifest's or blob's digest and JSON; the digest is computed, never believed."""
        url = f"{self._repository}/{kind}/{version}"
        try:
            response, body = await self._request(url, headers=self._headers)
            if response.status_code == 401:
                await self._authorize(response.headers.get("www-authenticate", ""))
                response, body = await self._request(url, headers=self._headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            host = self._reference.registry
            raise self._problem(f"the registry {host} does not answer: {error or type(error).__name__}") from error
        self._check(response)
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if version.startswith("sha256:") and version != digest:
            raise self._problem(f"the registry answered {digest} when asked for {version}")
        return digest, self._json(body)

    async def _request(self, url: str, **options: Any) -> tuple[httpx.Response, bytes]:
        """One answer, its body bounded while it arrives."""
        async with self._http.stream("GET", url, follow_redirects=True, **options) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _LARGEST:
                    raise self._problem(f"the registry's answer exceeds {_LARGEST} bytes")
        return response, bytes(body)

    async def _authorize(self, challenge: str) -> None:
        """Do what the registry's challenge asks for: send the login, or exchange it for a token."""
        scheme, _, parameters = challenge.partition(" ")
        if scheme.lower() == "basic" and self._login:
            login = f"{self._login.user}:{self._login.password}".encode()
            self._headers["authorization"] = f"Basic {base64.b64encode(login).decode()}"
        elif scheme.lower() == "bearer":
            query = dict(_CHALLENGE.findall(parameters))
            realm = query.pop("realm", "")
            if self._repository.startswith("https:") and not realm.startswith("https:"):
                raise self._problem(f"the registry wants its login sent in the clear, to {realm!r}")
            auth = (self._login.user, self._login.password) if self._login else None
            response, body = await self._request(realm, params=query, auth=auth)
            self._check(response)
            content = self._json(body)
            self._headers["authorization"] = f"Bearer {content.get('token') or content.get('access_token')}"

    def _json(self, body: bytes) -> dict[str, Any]:
        try:
            content = json.loads(body)
        except ValueError as error:
            raise self._problem("the registry's answer is not JSON") from error
        return content if isinstance(content, dict) else {}

    def _check(self, response: httpx.Response) -> None:
        if response.status_code in (401, 403):
            who = f"the login {self._login.user!r}" if self._login else "nobody without a login (images.pullSecrets)"
            raise self._problem(f"access denied to {who}, or there is no such repository")
        if response.status_code == 404:
            raise self._problem("not found in the registry")
        if response.status_code != 200:
            raise self._problem(f"the registry answered {response.status_code} {response.reason_phrase}")

    def _problem(self, words: str) -> ImageError:
        return ImageError("ErrImagePull", f"{self._reference.name}: {words}")


def _choose(reference: Reference, index: Mapping[str, Any]) -> str:
    wanted = _ARCHITECTURES.get(platform.machine(), platform.machine())
    offered = {}
    for entry in reversed(index.get("manifests") or ()):
        target = entry.get("platform") or {}
        if target.get("os", "linux") == "linux":
            offered[target.get("architecture", "")] = entry.get("digest", "")
    if wanted not in offered:
        raise ImageError("ErrImagePull", f"{reference.name} is not made for linux/{wanted}, but for {sorted(offered)}")
    return str(offered[wanted])
