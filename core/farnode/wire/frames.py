"""Bytes to frames and back, without I/O.

A frame is a header of nine bytes, `length:u32 kind:u8 stream:u32` in network order, and `length` bytes of payload.
Stream 0 is the connection itself; every other number is one stream, chosen by the gateway.

    MESSAGE  a JSON object (UTF-8); on stream 0 control, on another stream about that stream
    DATA     one byte naming the channel, then raw bytes
    CREDIT   u32: how many more DATA bytes the other side may send on this stream
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, NamedTuple

HEADER = struct.Struct(">IBI")
CREDIT = struct.Struct(">I")
MAX_PAYLOAD = 32 * 1024 * 1024
"""Bytes; larger than any order (a pod may carry several ConfigMaps of 1 MiB), far smaller than memory."""


class ProtocolError(Exception):
    """The other side sent what this protocol does not allow; the connection is of no more use."""


class Kind(IntEnum):
    MESSAGE = 0
    DATA = 1
    CREDIT = 2


class Channel(IntEnum):
    """Channels of a stream; the numbers are those of Kubernetes' remote command protocol."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2


class Frame(NamedTuple):
    kind: Kind
    stream: int
    payload: bytes


def encode(kind: Kind, stream: int, payload: bytes) -> bytes:
    if len(payload) > MAX_PAYLOAD:
        raise ProtocolError(f"a frame of {len(payload)} bytes is over the limit of {MAX_PAYLOAD}")
    return HEADER.pack(len(payload), kind, stream) + payload


def encode_message(message: Any, stream: int = 0) -> bytes:
    return encode(Kind.MESSAGE, stream, json.dumps(message, separators=(",", ":")).encode())


def decode_message(payload: bytes) -> dict[str, Any]:
    try:
        message = json.loads(payload)
    except ValueError as error:
        raise ProtocolError(f"a message is not JSON: {error}") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("a message is not an object with a type")
    return message


class Decoder:
    """Feed it what arrived; iterate over the frames that are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= HEADER.size:
                length, kind, stream = HEADER.unpack_from(self._buffer, start)
                if length > MAX_PAYLOAD or kind > Kind.CREDIT:
                    raise ProtocolError(f"not a frame: length {length}, kind {kind}")
                end = start + HEADER.size + length
                if len(self._buffer) < end:
                    break
                payload = bytes(self._buffer[start + HEADER.size : end])
                start = end
                yield Frame(Kind(kind), stream, payload)
        finally:
            del self._buffer[:start]
