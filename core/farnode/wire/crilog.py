"""The format of container logs on the spool: CRI's, `<RFC3339Nano UTC> stdout|stderr F|P <text>`.

A line longer than `MAX_TEXT`, and a last line without a newline, is written as P entries; what a reader gets back is
byte for byte what the container wrote. Reading never needs more memory than a few blocks, however long the log.
Times always have nine digits after the point, so they compare as bytes; `since` is one of microseconds, which is what
a number of seconds since the epoch can tell: a line's own time includes it.

What is read is what the kubelet reads (k8s.io/cri-client, pkg/logs; compared with it in tests/kubelet): `since` looks
at each entry, so it may begin inside a long line, and `limit` counts the timestamps too. Two things are done better:
`tail` counts lines where the kubelet counts entries, and a line whose beginning is not shown has a timestamp, too.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from typing import BinaryIO

from .messages import LogOptions

MAX_TEXT = 16 * 1024
"""Bytes of text in one entry, as in containerd."""
BLOCK = 32 * 1024
"""Bytes read at once; with the entry cut at its end still under the 64 KiB that one chunk of output may have."""

ENTRY = re.compile(rb"^([^ \n]+) (?:stdout|stderr) (?:F ([^\n]*\n)|P ([^\n]*)\n)", re.MULTILINE)
TAG = re.compile(rb"^[^ \n]+ (?:stdout|stderr) ([FP]) [^\n]*\n", re.MULTILINE)
LONGEST_ENTRY = MAX_TEXT + 128


def timestamp(nanoseconds: int) -> bytes:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return b"%s.%09dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode(), rest)


class Encoder:
    """Entries of one output of a container; holds back what is no whole line yet, at most `MAX_TEXT` bytes."""

    def __init__(self, stream: str) -> None:
        self._full = b" " + stream.encode() + b" F "
        self._partial = b" " + stream.encode() + b" P "
        self._rest = b""

    def feed(self, data: bytes, nanoseconds: int) -> bytes:
        head, newline, rest = (self._rest + data).rpartition(b"\n")
        if not newline and len(rest) <= MAX_TEXT:
            self._rest = rest
            return b""
        now = timestamp(nanoseconds)
        entries = [self._lines(head, now)] if newline else []
        cut = 0
        while len(rest) - cut > MAX_TEXT:
            entries.append(now + self._partial + rest[cut : cut + MAX_TEXT] + b"\n")
            cut += MAX_TEXT
        self._rest = rest[cut:]
        return b"".join(entries)

    def finish(self, nanoseconds: int) -> bytes:
        """The last line, where the container did not end it."""
        rest, self._rest = self._rest, b""
        return timestamp(nanoseconds) + self._partial + rest + b"\n" if rest else b""

    def _lines(self, lines: bytes, now: bytes) -> bytes:
        if _are_short(lines):
            prefix = now + self._full
            return prefix + lines.replace(b"\n", b"\n" + prefix) + b"\n"
        return b"".join([self._line(line, now) for line in lines.split(b"\n")])

    def _line(self, line: bytes, now: bytes) -> bytes:
        entry = b""
        while len(line) > MAX_TEXT:
            entry += now + self._partial + line[:MAX_TEXT] + b"\n"
            line = line[MAX_TEXT:]
        return entry + now + self._full + line + b"\n"


def _are_short(lines: bytes) -> bool:
    """Whether each fits an entry, found in a few steps however many there are."""
    start = 0
    while len(lines) - start > MAX_TEXT:
        start = lines.rfind(b"\n", start, start + MAX_TEXT + 1) + 1
        if not start:
            return False
    return True


class Reader:
    """Turns a log file's bytes, fed in order, into what was asked for. What is not an entry is passed over."""

    def __init__(self, options: LogOptions) -> None:
        since = options.get("since")
        self._since = b"" if since is None else timestamp(int(since) * 10**9 + round(since % 1 * 10**6) * 1000)
        self._timestamps = options.get("timestamps", False)
        self._left = options.get("limit")
        self._rest = b""
        self._line_begins = True

    @property
    def done(self) -> bool:
        """The limit is reached: nothing more will come."""
        return self._left is not None and self._left <= 0

    def feed(self, raw: bytes) -> bytes:
        whole, newline, rest = (self._rest + raw).rpartition(b"\n")
        self._rest = rest if len(rest) <= LONGEST_ENTRY else b""
        entries = ENTRY.findall(whole + newline)
        if self._since:
            entries = [entry for entry in entries if entry[0] >= self._since]
        if self._timestamps:
            return self._limited(self._prefixed(entries))
        if entries:
            self._line_begins = bool(entries[-1][1])
        return self._limited(b"".join([full + part for _, full, part in entries]))

    def skip(self) -> bytes:
        """The log goes on further down, what was between is lost: a line that was begun ends here."""
        text = b"" if self._line_begins else b"\n"
        self._rest, self._line_begins = b"", True
        return self._limited(text)

    def _limited(self, text: bytes) -> bytes:
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
        return text

    def _prefixed(self, entries: list[tuple[bytes, bytes, bytes]]) -> bytes:
        pieces = []
        for at, full, part in entries:
            if self._line_begins:
                pieces.append(at + b" ")
            pieces.append(full + part)
            self._line_begins = bool(full)
        return b"".join(pieces)


def tail_offset(file: BinaryIO, lines: int) -> int:
    """Where the last `lines` lines begin, found by reading backwards. A last line without a newline is a line."""
    position = file.seek(0, io.SEEK_END)
    head, found, last = b"", 0, True
    while position > 0:
        start = max(0, position - BLOCK)
        file.seek(start)
        block = file.read(position - start) + head
        cut = block.find(b"\n") + 1 if start else 0
        for match in reversed(list(TAG.finditer(block, cut))):
            found += match[1] == b"F" or last
            last = False
            if found > lines:
                return start + match.end()
        head = block[:cut] if cut <= LONGEST_ENTRY else b""
        position = start
    return 0


def select(file: BinaryIO, options: LogOptions) -> Iterator[bytes]:
    """Chunks (at most 64 KiB) of what the options ask of a log that grows no more."""
    reader = Reader(options)
    tail = options.get("tail")
    file.seek(0 if tail is None else tail_offset(file, tail))
    while not reader.done:
        raw = file.read(BLOCK)
        if not raw:
            return
        text = reader.feed(raw)
        if text:
            yield text
