"""The captures of this directory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

_DIRECTORY = Path(__file__).parent / "captures"
DICTIONARY = bytes.fromhex((_DIRECTORY / "spdy3_dictionary.hex").read_text())


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes in one direction; `sent` by the client."""

    sent: bool
    data: bytes
    truncated: bool


def pieces(name: str) -> list[Piece]:
    document = json.loads((_DIRECTORY / f"{name}.json").read_text())
    return [Piece(one["dir"] == "<", bytes.fromhex(one["hex"]), one["truncated"]) for one in document["bytes"]]


def direction(name: str, *, sent: bool) -> bytes:
    """All bytes of one direction after the HTTP head, up to where the capture was cut."""
    whole = b""
    for piece in pieces(name):
        if piece.sent == sent:
            whole += piece.data
            if piece.truncated:
                break
    return whole.partition(b"\r\n\r\n")[2]
