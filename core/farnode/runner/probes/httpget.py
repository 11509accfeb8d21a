"""GET requests to a port of a pod, as HTTP probes and hooks make them.

Source of the rules: Kubernetes, "Configure Liveness, Readiness and Startup Probes" (HTTP probes), and the kubelet: one
connection for each request, certificates are not verified, redirects are followed as long as they stay at the pod.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from ...wire.messages import ActionOrder
from ..pods.attempt import Attempt
from .dial import authority, dial, hang_up

LONGEST_HEAD = 64 * 1024
LONGEST_BODY = 10 * 1024
MOST_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)
BODILESS = (204, 304)
SAFE = "%/:=&?~#+!$,;'@()*[]-._"
"""Of a URL, what is sent as it was written."""
PORTS = {"http": 80, "https": 443}

Headers = list[tuple[str, str]]


class Response(NamedTuple):
    status: int
    location: str
    body: bytes

    @property
    def redirects(self) -> bool:
        return self.status in REDIRECTS and bool(self.location)


@dataclass(frozen=True)
class Target:
    """`host` is a name, or an address without brackets; `path` has the query with it."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        return f"{self.scheme}://{authority(self.host, self.port)}{self.path}"

    def redirected(self, location: str) -> Target:
        """Raises ValueError where the location is no URL."""
        parts = urlsplit(urljoin(self.url, location))
        path = quote(parts.path or "/", SAFE) + (f"?{quote(parts.query, SAFE)}" if parts.query else "")
        return Target(parts.scheme, parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0), path)


def first_target(action: ActionOrder, host: str) -> Target:
    path = action.get("path", "")
    path = path if path.startswith("/") else f"/{path}"
    return Target(action.get("scheme", "HTTP").lower(), host, action["port"], quote(path.partition("#")[0], SAFE))


def headers_of(action: ActionOrder, agent: str) -> Headers:
    """With what the kubelet adds; User-Agent and Accept that are given empty are not sent. Raises ValueError where a
    header cannot be sent."""
    given = [(name, value) for name, value in action.get("headers", ())]
    for name, value in given:
        if not name or any(sign in name + value for sign in "\r\n\0"):
            raise ValueError(f"net/http: invalid header field {name!r}")
    names = {name.lower() for name, _ in given}
    added = [(name, value) for name, value in (("User-Agent", agent), ("Accept", "*/*")) if name.lower() not in names]
    return [(name, value) for name, value in given + added if value or name.lower() not in ("user-agent", "accept")]


async def get(attempt: Attempt, target: Target, headers: Headers) -> Response:
    """The answer in the end: a redirect that leads away from the pod is one. Raises OSError with words."""
    host = next((value for name, value in headers if name.lower() == "host"), "")
    sent = [(name, value) for name, value in headers if name.lower() != "host"]
    for _ in range(MOST_REDIRECTS):
        try:
            response = await _fetch(attempt, target, [("Host", host or authority(target.host, target.port)), *sent])
            following = target.redirected(response.location) if response.redirects else None
        except (OSError, ValueError) as error:
            raise ConnectionError(f'Get "{target.url}": {error}') from error
        if following is None or following.host != target.host:
            return response
        host = "" if urlsplit(response.location).scheme else host  # one of the pod's own stays for relative locations
        target = following
    raise ConnectionError(f'Get "{target.url}": stopped after {MOST_REDIRECTS} redirects')


async def _fetch(attempt: Attempt, target: Target, headers: Headers) -> Response:
    if target.scheme not in PORTS:
        raise ValueError(f'unsupported protocol scheme "{target.scheme}"')
    connection = await dial(attempt, target.port, _unverified() if target.scheme == "https" else None)
    try:
        lines = [f"GET {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "Connection: close"]
        connection[1].write("\r\n".join([*lines, "", ""]).encode("utf-8"))
        return await _response(connection[0])
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("unexpected EOF") from error
    finally:
        hang_up(connection)


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _response(reader: asyncio.StreamReader) -> Response:
    """Of the final status: what comes before it only informs."""
    status, headers = _parsed(await _head(reader))
    while 100 <= status < 200 and status != 101:
        status, headers = _parsed(await _head(reader))
    return Response(status, headers.get("location", ""), await _body(reader, status, headers))


async def _head(reader: asyncio.StreamReader) -> list[str]:
    lines: list[str] = []
    size = 0
    while size < LONGEST_HEAD:
        line = await reader.readline()
        size += len(line)
        if not line.endswith(b"\n"):
            raise ConnectionError("unexpected EOF" if size else "EOF")
        text = line.decode("latin-1").rstrip("\r\n")
        if not text:
            return lines
        lines.append(text)
    raise ValueError(f"net/http: server response headers exceeded {LONGEST_HEAD} bytes")


def _parsed(lines: Sequence[str]) -> tuple[int, dict[str, str]]:
    """Status and headers, whose names are in lower case."""
    first = lines[0] if lines else ""
    version, _, rest = first.partition(" ")
    number = rest[:3]
    if not version.startswith("HTTP/") or len(number) < 3 or not number.isdigit():
        raise ValueError(f'malformed HTTP response "{first[:100]}"')
    pairs = (line.partition(":") for line in lines[1:])
    return int(number), {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _body(reader: asyncio.StreamReader, status: int, headers: dict[str, str]) -> bytes:
    """As much of it as is ever looked at; a server that is cut off before would complain."""
    if status in BODILESS:
        return b""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _chunks(reader)
    return await _at_most(reader, min(int(headers.get("content-length", LONGEST_BODY)), LONGEST_BODY))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while len(body) < LONGEST_BODY:
        size = int((await reader.readline()).partition(b";")[0], 16)
        if not size:
            break
        body += await _at_most(reader, min(size, LONGEST_BODY - len(body)))
        await reader.readline()
    return body


async def _at_most(reader: asyncio.StreamReader, size: int) -> bytes:
    body = b""
    while len(body) < size:
        data = await reader.read(size - len(body))
        if not data:
            break
        body += data
    return body
