"""Questions to a registry about one repository, as one caller: the login, the token for it, and patience.

The OCI distribution API and Docker's token protocol. A login goes to the registry itself and to the token service it
names, never to where it redirects (httpx drops the header at another host); what is redirected must stay encrypted.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from farnode.gateway.images.credentials import Login
from farnode.gateway.images.errors import AccessDenied, ImageError
from farnode.gateway.images.reference import DIGEST, Reference

_LARGEST = 8 * 1024 * 1024
"""Bytes of a manifest or configuration; registries refuse manifests over 4 MiB."""
_CHALLENGE = re.compile(r'([a-zA-Z]+)="([^"]*)"')
_BUSY = (429, 500, 502, 503, 504)
"""Answers that time may change; 429 is a limit of requests."""
_TRIES = 4
_PAUSE = 1.0
"""Seconds before the second try where the registry does not say how many; then twice as many, and so on."""
_PATIENCE = 10.0
"""Seconds that are waited for a registry at most; beyond, the pod waits."""
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT = ", ".join(_MANIFESTS)


class Session:
    """Of a repository at `base`, such as `https://quay.io/v2/lab/tool`; `reference` is for words."""

    def __init__(self, http: httpx.AsyncClient, base: str, reference: Reference, login: Login | None) -> None:
        self._http = http
        self._base = base
        self._reference = reference
        self._login = login
        self._authorization = ""

    async def digest(self, version: str) -> str:
        """Of a manifest, as the registry has it: nothing is fetched and, at Docker Hub, nothing counted. "" where the
        registry does not tell."""
        async with self._answer("HEAD", f"{self._base}/manifests/{version}", {"accept": _ACCEPT}) as response:
            digest = str(response.headers.get("docker-content-digest", ""))
            return digest if DIGEST.fullmatch(digest) else ""

    async def json(self, kind: str, version: str) -> tuple[str, dict[str, Any]]:
        """A manifest's or blob's digest and content; the digest is computed, never believed."""
        body = await self._body(f"{self._base}/{kind}/{version}", {"accept": _ACCEPT})
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if version.startswith("sha256:") and version != digest:
            raise self.problem(f"the registry answered {digest} when asked for {version}")
        return digest, self._json(body)

    @asynccontextmanager
    async def blob(self, digest: str, start: int) -> AsyncIterator[httpx.Response]:
        """The answer with a blob's bytes from `start` on (status 206), or with all of them (200)."""
        headers = {"accept-encoding": "identity", **({"range": f"bytes={start}-"} if start else {})}
        async with self._answer("GET", f"{self._base}/blobs/{digest}", headers) as response:
            yield response

    def problem(self, words: str, after: float = 0.0) -> ImageError:
        return ImageError("ErrImagePull", f"{self._reference.name}: {words}", after=after)

    async def _body(self, url: str, headers: Mapping[str, str]) -> bytes:
        """Bounded while it arrives, and asked for again when it breaks off."""
        for trial in range(_TRIES):
            try:
                async with self._answer("GET", url, headers) as response:
                    return await self._bounded(response)
            except httpx.TransportError as error:
                if trial == _TRIES - 1:
                    raise self._silent(error) from error
        raise AssertionError("unreachable")

    async def _bounded(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _LARGEST:
                raise self.problem(f"the registry's answer exceeds {_LARGEST} bytes")
        return bytes(body)

    @asynccontextmanager
    async def _answer(self, method: str, url: str, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        """A good answer, however often it had to be asked for; its body is still to come."""
        challenge = ""
        for trial in range(_TRIES):
            async with self._sent(method, url, headers) as response:
                challenged = response.status_code == 401 and not challenge
                if not challenged and (response.status_code not in _BUSY or trial == _TRIES - 1):
                    self._check(response)
                    yield response
                    return
            if challenged:
                challenge = response.headers.get("www-authenticate") or "none"
                await self._authorize(challenge)
            else:
                await self._wait(response, trial)
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _sent(self, method: str, url: str, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        given = {**headers, **({"authorization": self._authorization} if self._authorization else {})}
        try:
            request = self._http.build_request(method, url, headers=given)
            response = await self._http.send(request, stream=True, follow_redirects=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._silent(error) from error
        try:
            if url.startswith("https:") and response.url.scheme != "https":
                raise self.problem(f"the registry sends on to {response.url.host} without TLS")
            yield response
        finally:
            await response.aclose()

    def _silent(self, error: Exception) -> ImageError:
        host, words = self._reference.registry, str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in words:
            words += f"; an authority of the site's own goes into images.registries.{host}.caFile"
        return self.problem(f"the registry {host} does not answer: {words}")

    async def _wait(self, response: httpx.Response, trial: int) -> None:
        seconds = _asked_for(response) or _PAUSE * 2**trial
        if seconds > _PATIENCE:
            self._check(response)
        await asyncio.sleep(seconds)

    async def _authorize(self, challenge: str) -> None:
        """Do what the registry's challenge asks for: send the login, or exchange it for a token."""
        scheme, _, parameters = challenge.partition(" ")
        if scheme.lower() == "basic" and self._login:
            login = f"{self._login.user}:{self._login.password}".encode()
            self._authorization = f"Basic {base64.b64encode(login).decode()}"
        elif scheme.lower() == "bearer":
            self._authorization = f"Bearer {await self._token(dict(_CHALLENGE.findall(parameters)))}"

    async def _token(self, query: dict[str, str]) -> str:
        realm = query.pop("realm", "")
        if self._base.startswith("https:") and not realm.startswith("https:"):
            raise self.problem(f"the registry wants its login sent in the clear, to {realm!r}")
        auth = (self._login.user, self._login.password) if self._login else None
        try:
            request = self._http.build_request("GET", realm, params=query)
            response = await self._http.send(request, stream=True, auth=auth, follow_redirects=True)
            try:
                self._check(response)
                content = self._json(await self._bounded(response))
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self.problem(
                f"the token service {realm!r} does not answer: {error or type(error).__name__}"
            ) from error
        return str(content.get("token") or content.get("access_token") or "")

    def _json(self, body: bytes) -> dict[str, Any]:
        try:
            content = json.loads(body)
        except ValueError as error:
            raise self.problem("the registry's answer is not JSON") from error
        return content if isinstance(content, dict) else {}

    def _check(self, response: httpx.Response) -> None:
        if response.status_code in (401, 403):
            who = f"the login {self._login.user!r}" if self._login else "nobody without a login"
            words = "access denied to {}, or there is no such repository (spec.imagePullSecrets; images.pullSecrets)"
            raise AccessDenied(f"{self._reference.name}: {words.format(who)}")
        if response.status_code == 404:
            raise self.problem("not found in the registry")
        if response.status_code == 429:
            after = _asked_for(response)
            raise self.problem("too many requests, says the registry; a login may have a higher limit", after)
        if response.status_code not in (200, 206):
            raise self.problem(f"the registry answered {response.status_code} {response.reason_phrase}")


def _asked_for(response: httpx.Response) -> float:
    """Seconds of its Retry-After; 0 where it has none, or a date, which depends on two clocks."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0.0
