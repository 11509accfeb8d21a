"""SPDY/3.1 as Kubernetes speaks it, without I/O: bytes in, frames out, and the bytes of frames.

API servers before 1.36 (and all, for nodes that do not declare ExtendWebSocketsToKubelet) reach kubelets by nothing
else, and kubectl port-forward carries it inside a WebSocket even then. No package on PyPI speaks it. Written after
the SPDY/3.1 draft, and after what moby/spdystream, the other side, sends: SYN_STREAM, SYN_REPLY, RST_STREAM, PING,
GOAWAY and data; no SETTINGS, no WINDOW_UPDATE, hence no flow control. Frames of other types are skipped.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

CANCEL, REFUSED_STREAM, PROTOCOL_ERROR = 5, 3, 1
"""What a RST_STREAM says."""

_VERSION = 0x8003
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY, _HEADERS = 1, 2, 3, 6, 7, 8
_FIN = 1
_ID = 0x7FFFFFFF
_LARGEST = 65536
"""Bytes of a control frame, and of its headers when they are inflated; real ones have less than a hundred."""
_BULK = 0xFFFFFF
"""Bytes of a data frame."""
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges "
    "age allow authorization cache-control connection content-base content-encoding content-language "
    "content-length content-location content-md5 content-range content-type date etag expect expires from host "
    "if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards "
    "pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer "
    "transfer-encoding upgrade user-agent vary via warning www-authenticate method get status"
)
_MORE_WORDS = ("200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_PHRASES = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _text(words: bytes) -> bytes:
    return struct.pack(">I", len(words)) + words


DICTIONARY = b"".join(_text(word.encode()) for word in (*_WORDS.split(), *_MORE_WORDS)) + _PHRASES.encode()
"""With which header blocks are compressed (SPDY/3.1, 2.6.10.1)."""


class SpdyError(Exception):
    """The other side does not speak SPDY/3.1; nothing that follows can be understood."""


@dataclass(frozen=True, slots=True)
class SynStream:
    """The other side opens a stream. `fin`: it will send no data on it."""

    stream: int
    headers: Mapping[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class SynReply:
    """The other side accepts one of ours."""

    stream: int
    headers: Mapping[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """A part of a data frame as it came in. `fin`: the last one of its stream."""

    stream: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """RST_STREAM: both directions are over."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Ping:
    """To be sent back where the id is the other side's."""

    id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The other side wants no new streams."""

    last: int


Frame = SynStream | SynReply | Data | Reset | Ping | GoAway


class Codec:
    """One end of a connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._bulk: tuple[int, bool] | None = None
        self._left = 0
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(9, zdict=DICTIONARY)
        self._broken: SpdyError | None = None

    def receive(self, data: bytes) -> list[Frame]:
        """The frames that are complete now; of data frames, what is there of them."""
        if self._broken is not None:
            raise self._broken
        self._buffer += data
        try:
            return list(self._frames())
        except SpdyError as error:
            self._broken = error
            raise

    def _frames(self) -> Iterator[Frame]:
        while True:
            if self._bulk is not None:
                if not self._buffer and self._left:
                    return
                yield self._part(*self._bulk)
            elif len(self._buffer) < 8:
                return
            else:
                first, flags_length = struct.unpack_from(">II", self._buffer)
                flags, length = flags_length >> 24, flags_length & 0xFFFFFF
                if not first >> 31:
                    del self._buffer[:8]
                    self._bulk, self._left = (first, bool(flags & _FIN)), length
                elif first >> 16 != _VERSION or length > _LARGEST:
                    raise SpdyError(f"no control frame of SPDY/3.1 begins with {self._buffer[:8].hex()}")
                elif len(self._buffer) < 8 + length:
                    return
                else:
                    body = bytes(self._buffer[8 : 8 + length])
                    del self._buffer[: 8 + length]
                    yield from self._control(first & 0xFFFF, bool(flags & _FIN), body)

    def _part(self, stream: int, fin: bool) -> Data:
        part = bytes(self._buffer[: self._left])
        del self._buffer[: len(part)]
        self._left -= len(part)
        if self._left == 0:
            self._bulk = None
        return Data(stream, part, fin and self._left == 0)

    def _control(self, kind: int, fin: bool, body: bytes) -> Iterator[Frame]:
        try:
            if kind == _SYN_STREAM:
                yield SynStream(_stream(body), self._headers(body[10:]), fin)
            elif kind == _SYN_REPLY:
                yield SynReply(_stream(body), self._headers(body[4:]), fin)
            elif kind == _HEADERS:
                self._headers(body[4:])  # the compression goes on in the next block
            elif kind == _RST_STREAM:
                yield Reset(_stream(body), _number(body, 4))
            elif kind == _PING:
                yield Ping(_number(body, 0))
            elif kind == _GOAWAY:
                yield GoAway(_stream(body))
        except struct.error:
            raise SpdyError(f"a control frame of type {kind} has {len(body)} bytes") from None

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, _LARGEST)
        except zlib.error as error:
            raise SpdyError(f"headers cannot be inflated: {error}") from None
        if self._inflate.unconsumed_tail or self._inflate.unused_data:
            raise SpdyError(f"headers of more than {_LARGEST} bytes")
        return dict(_pairs(plain))

    def syn_stream(self, stream: int, headers: Mapping[str, str], *, fin: bool = False) -> bytes:
        body = struct.pack(">IIH", stream, 0, 0) + self._block(headers)
        return _frame(_SYN_STREAM, _FIN if fin else 0, body)

    def syn_reply(self, stream: int, headers: Mapping[str, str] | None = None) -> bytes:
        return _frame(_SYN_REPLY, 0, struct.pack(">I", stream) + self._block(headers or {}))

    def _block(self, headers: Mapping[str, str]) -> bytes:
        pairs = b"".join(_text(name.encode()) + _text(value.encode()) for name, value in headers.items())
        plain = struct.pack(">I", len(headers)) + pairs
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def data(stream: int, payload: bytes, *, fin: bool = False) -> bytes:
    """Of at most 16 MiB."""
    if len(payload) > _BULK:
        raise ValueError(f"{len(payload)} bytes in a frame of at most {_BULK}")
    return struct.pack(">II", stream, (_FIN if fin else 0) << 24 | len(payload)) + payload


def reset(stream: int, status: int) -> bytes:
    return _frame(_RST_STREAM, 0, struct.pack(">II", stream, status))


def ping(number: int) -> bytes:
    """Odd numbers are the client's."""
    return _frame(_PING, 0, struct.pack(">I", number))


def go_away(last: int) -> bytes:
    return _frame(_GOAWAY, 0, struct.pack(">II", last, 0))


def _frame(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", _VERSION, kind, flags << 24 | len(body)) + body


def _number(body: bytes, offset: int) -> int:
    return int(struct.unpack_from(">I", body, offset)[0])


def _stream(body: bytes) -> int:
    return _number(body, 0) & _ID


def _pairs(plain: bytes) -> Iterator[tuple[str, str]]:
    """Names and values of an inflated block; several values of one name are separated by NUL, and stay so."""
    try:
        offset = 4
        for _ in range(_number(plain, 0)):
            name, offset = _taken(plain, offset)
            value, offset = _taken(plain, offset)
            yield name.lower(), value
    except struct.error:
        raise SpdyError("a header block ends too early") from None


def _taken(plain: bytes, offset: int) -> tuple[str, int]:
    end = offset + 4 + _number(plain, offset)
    if end > len(plain):
        raise SpdyError("a header block ends too early")
    return plain[offset + 4 : end].decode("utf-8", "replace"), end
