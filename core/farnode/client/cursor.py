"""Where a reader of timestamped log lines is. Pure: chunks in, the bytes not yet delivered out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_ALL = -1


@dataclass(slots=True)
class _Place:
    """The line delivered last: its timestamp, how many lines of that timestamp were begun, and how many bytes of the
    last one were delivered while it is unfinished (0: it is finished)."""

    stamp: bytes = b""
    lines: int = 0
    unfinished: int = 0


class Cursor:
    """Fed with `TIMESTAMP text` lines, cut anywhere; with `timestamps` they stay on the lines."""

    def __init__(self, timestamps: bool) -> None:
        self._timestamps = timestamps
        self._place = _Place()
        self._again = False  # after a loss: lines up to the place come again
        self._met = 0  # lines of the place's timestamp met again
        self._head: bytes | None = b""  # what came of a line's timestamp; None inside its text
        self._skip = 0  # bytes of this line's text not to deliver; _ALL of them

    def feed(self, chunk: bytes) -> bytes:
        """What of this chunk was not delivered before."""
        return b"".join(part for piece in _pieces(chunk) for part in self._piece(piece))

    def lost(self) -> str | None:
        """The connection is gone: the time to ask from (RFC 3339, whole seconds), None where nothing was delivered."""
        self._head, self._skip, self._met = b"", 0, 0
        self._again = bool(self._place.stamp)
        return self._place.stamp[:19].decode("ascii", "replace") + "Z" if self._again else None

    def _piece(self, piece: bytes) -> Iterator[bytes]:
        text = piece
        if self._head is not None:
            self._head += piece
            stamp, space, text = self._head.partition(b" ")
            if not text and not piece.endswith(b"\n"):
                return
            self._head = None
            self._skip = self._begin(stamp)
            if self._timestamps and not self._skip:
                yield stamp + space
        if piece.endswith(b"\n"):
            self._head = b""
        yield self._deliver(text)

    def _begin(self, stamp: bytes) -> int:
        """How much of the line that begins with this timestamp was delivered."""
        place = self._place
        if self._again:
            here, there = _order(stamp), _order(place.stamp)
            if here < there:
                return _ALL
            if here == there and self._met < place.lines:
                self._met += 1
                return _ALL if self._met < place.lines or not place.unfinished else place.unfinished
            self._again = False
        self._place = _Place(stamp, place.lines + 1 if stamp == place.stamp else 1)
        return 0

    def _deliver(self, text: bytes) -> bytes:
        if self._skip == _ALL:
            return b""
        fresh = text[self._skip :]
        self._skip -= len(text) - len(fresh)
        self._place.unfinished = 0 if text.endswith(b"\n") else self._place.unfinished + len(fresh)
        return fresh


def _pieces(chunk: bytes) -> Iterator[bytes]:
    *lines, rest = chunk.split(b"\n")
    for line in lines:
        yield line + b"\n"
    if rest:
        yield rest


def _order(stamp: bytes) -> tuple[bytes, bytes]:
    """Timestamps compare by this whatever the digits of their fractions."""
    seconds, _, fraction = stamp.removesuffix(b"Z").partition(b".")
    return seconds, fraction.ljust(9, b"0")
