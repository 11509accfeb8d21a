"""Logs on the spool against a model that holds everything in memory."""

from __future__ import annotations

import io
import tracemalloc
from typing import BinaryIO, cast

from hypothesis import given
from hypothesis import strategies as st

from farnode.wire.crilog import BLOCK, ENTRY, MAX_TEXT, Encoder, Reader, select, timestamp
from farnode.wire.messages import LogOptions

SECOND = 10**9

pieces = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"\n", b"line\n", b"x" * MAX_TEXT, b"y" * (MAX_TEXT + 1) + b"\n", b"z" * 40_000, b"a\nb\nc"]),
    ),
    max_size=12,
)


def encode(written: list[bytes]) -> bytes:
    """Piece n is written at second n."""
    encoder = Encoder("stdout")
    entries = [encoder.feed(piece, n * SECOND) for n, piece in enumerate(written)]
    return b"".join(entries) + encoder.finish(len(written) * SECOND)


def chosen(log: bytes, **options: object) -> bytes:
    chunks = list(select(io.BytesIO(log), cast("LogOptions", options)))
    assert all(0 < len(chunk) <= 64 * 1024 for chunk in chunks)
    return b"".join(chunks)


def model(log: bytes, tail: int | None, since: float | None, limit: int | None, timestamps: bool) -> bytes:
    """Entries joined to lines, each part with its time."""
    lines: list[list[tuple[bytes, bytes]]] = [[]]
    for at, full, part in ENTRY.findall(log):
        lines[-1].append((at, full + part))
        if full:
            lines.append([])
    if not lines[-1]:
        lines.pop()
    if tail is not None:
        lines = lines[len(lines) - min(tail, len(lines)) :]
    text = b""
    for line in lines:
        kept = [(at, part) for at, part in line if since is None or at >= timestamp(int(since * SECOND))]
        if kept and timestamps:
            text += kept[0][0] + b" "
        text += b"".join(part for _, part in kept)
    return text if limit is None else text[:limit]


@given(pieces)
def test_what_was_written_comes_back(written: list[bytes]) -> None:
    log = encode(written)
    assert chosen(log) == b"".join(written)
    assert all(len(line.split(b" ", 3)[3]) <= MAX_TEXT for line in log.splitlines() if line.count(b" ") >= 3)


@given(
    pieces,
    st.none() | st.integers(0, 8),
    st.none() | st.integers(0, 12),
    st.none() | st.integers(0, 50_000),
    st.booleans(),
)
def test_selections(
    written: list[bytes], tail: int | None, since: int | None, limit: int | None, timestamps: bool
) -> None:
    log = encode(written)
    options = {"tail": tail, "since": since, "limit": limit, "timestamps": timestamps}
    assert chosen(log, **options) == model(log, tail, since, limit, timestamps)


@given(st.binary(max_size=300), st.integers(0, 3))
def test_what_is_no_log_does_no_harm(garbage: bytes, tail: int) -> None:
    chosen(garbage)
    chosen(garbage, tail=tail, timestamps=True)


def test_an_entry_being_written_is_not_there_yet() -> None:
    log = encode([b"one\n", b"two\n"])
    assert chosen(log[:-3]) == b"one\n"
    assert chosen(log[:-3], tail=1) == b"one\n"


def test_the_format() -> None:
    encoder = Encoder("stderr")
    assert encoder.feed(b"a \xff\nb", 1_700_000_000_000_000_042) == b"2023-11-14T22:13:20.000000042Z stderr F a \xff\n"
    assert encoder.finish(1_700_000_001 * SECOND) == b"2023-11-14T22:13:21.000000000Z stderr P b\n"


def test_what_was_lost_between_ends_the_line_that_was_begun() -> None:
    reader = Reader({"limit": MAX_TEXT + 8})
    entries = encode([b"x" * MAX_TEXT + b"rest\n"])
    assert reader.feed(entries[:-4]) == b"x" * MAX_TEXT
    assert reader.skip() == b"\n"
    assert reader.feed(encode([b"next\n"])) == b"next\n"
    assert reader.skip() == b""
    assert reader.feed(encode([b"last\n"])) == b"la"
    assert reader.done


class Endless(io.RawIOBase):
    """A log of many gigabytes that exists only where it is looked at."""

    ENTRY = timestamp(0) + b" stdout F " + b"x" * 88 + b"\n"
    SIZE = len(ENTRY) * 100_000_000

    def __init__(self) -> None:
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = self.SIZE + offset if whence == io.SEEK_END else offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        start = self._position % len(self.ENTRY)
        size = min(size, self.SIZE - self._position)
        repeated = self.ENTRY * (size // len(self.ENTRY) + 2)
        self._position += size
        return repeated[start : start + size]


def test_memory_does_not_grow_with_the_log() -> None:
    log = cast("BinaryIO", Endless())
    tracemalloc.start()
    assert sum(map(len, select(log, {"tail": 1000}))) == 89_000
    assert sum(map(len, select(log, {"limit": 20_000_000}))) == 20_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * BLOCK


@given(st.integers(1_500_000_000 * 10**9, 2_500_000_000 * 10**9))
def test_a_lines_own_time_includes_it(at: int) -> None:
    """As a client says it: cut to microseconds, in a number of seconds."""
    log = Encoder("stdout").feed(b"line\n", at)
    assert chosen(log, since=at // 1000 / 10**6) == b"line\n"
