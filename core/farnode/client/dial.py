"""Byte streams to a gateway.

TLS is done here and not by the HTTP library, so that a pinned certificate is checked before a byte (the token) is
sent, and so that a dialler passed in (a relay) may bring any stream whatever.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import ssl
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSAttribute, TLSStream

from farnode.client.site import Site
from farnode.errors import Invalid, Permanent, Unreachable

Dial = Callable[[], Awaitable[ByteStream]]
"""Opens one stream to the gateway's API; an error of the farnode tree goes to the caller as it is."""

CONNECT_TIMEOUT = 10.0
_BACKLOG_PAUSE = 0.01
"""Seconds between tries while a Unix socket's queue of connections is full; nothing tells when it is not."""
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))


def dialler(site: Site) -> Dial:
    """How that site is reached; Invalid when its url, fingerprint or CA file cannot be used."""
    if site.socket is not None:
        return lambda: _guarded(site, _unix(site))
    site.address()
    context = _context(site)
    return lambda: _guarded(site, _tls(site, context))


async def _guarded(site: Site, connecting: Awaitable[ByteStream]) -> ByteStream:
    try:
        with anyio.fail_after(CONNECT_TIMEOUT):
            return await connecting
    except TimeoutError:
        raise Unreachable(f"{site.name}: no answer from {site.url}") from None
    except ssl.SSLCertVerificationError as error:
        raise Permanent(f"{site.name}: the certificate at {site.url} is not trusted: {error.verify_message}") from None
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        raise Unreachable(f"{site.name}: cannot reach {site.url}: {_words(error)}") from None


async def _unix(site: Site) -> ByteStream:
    """As anyio.connect_unix, but over the event loop's own transport: in anyio's Unix streams a read that is cancelled
    while data comes raises InvalidStateError in the loop (anyio 4.16; its issue 1267 tells of the same at closing)."""
    assert site.socket is not None
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        while (code := raw.connect_ex(site.socket)) == errno.EAGAIN:
            await anyio.sleep(_BACKLOG_PAUSE)
        if code:
            raise OSError(code, os.strerror(code))
        return await SocketStream.from_socket(raw)
    except BaseException:
        raw.close()
        raise


async def _tls(site: Site, context: ssl.SSLContext) -> ByteStream:
    host, port = site.address()
    plain = await anyio.connect_tcp(host, port)
    raw = plain.extra(SocketAttribute.raw_socket)  # noqa: S610 - not Django's
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        raw.setsockopt(socket.IPPROTO_TCP, option, value)
    stream = await TLSStream.wrap(plain, hostname=host, ssl_context=context, standard_compatible=False)
    if site.fingerprint is not None:
        certificate = stream.extra(TLSAttribute.peer_certificate_binary) or b""  # noqa: S610
        found = hashlib.sha256(certificate).hexdigest()
        if found != site.fingerprint:
            await stream.aclose()
            raise Permanent(f"{site.name}: {site.url} shows another certificate than the pinned one (sha256 {found})")
    return stream


def _context(site: Site) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if site.ca_file is not None:
        try:
            context.load_verify_locations(site.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise Invalid("caFile", f"{site.ca_file}: {error.strerror or error}") from None
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "no TLS is spoken there"
    if isinstance(error, OSError) and isinstance(error.__cause__, BaseExceptionGroup):
        return (
            _words(error.__cause__.exceptions[-1]) if isinstance(error.__cause__.exceptions[-1], OSError) else "refused"
        )
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return "the connection was closed"
