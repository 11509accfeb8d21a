"""Logs in several files: what is kept is one log, and no more than the site allows."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from farnode.runner.output.rotating import RotatingLog
from farnode.wire.crilog import MAX_TEXT, Encoder, Reader, select
from farnode.wire.messages import Limits, LogOptions
from farnode.wire.rotation import kept, open_log

from .gateway import FakeGateway, everything, shell
from .test_crilog import SECOND, encode, model, pieces
from .test_runner import Process, play

LIMITS = st.fixed_dictionaries(
    {}, optional={"log_size": st.sampled_from([1, 60, 1000, 40_000]), "log_files": st.integers(1, 4)}
)
LARGEST_ENTRY = MAX_TEXT + 50


@contextlib.contextmanager
def rotating(limits: Any) -> Iterator[RotatingLog]:
    with tempfile.TemporaryDirectory() as directory:
        log = RotatingLog(f"{directory}/1.main.0.log", limits)
        try:
            yield log
        finally:
            log.close()


def on_disk(log: RotatingLog) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(log.path).parent.iterdir()}


def write(log: RotatingLog, written: list[bytes]) -> bytes:
    """Piece n at second n, as `test_crilog.encode`; returns all entries."""
    encoder, whole = Encoder("stdout"), b""
    feeds = [encoder.feed(piece, n * SECOND) for n, piece in enumerate(written)]
    for entries in [*feeds, encoder.finish(len(written) * SECOND)]:
        log.append(entries)
        whole += entries
    return whole


@settings(deadline=None)
@given(pieces, LIMITS)
def test_what_is_on_disk(written: list[bytes], limits: Limits) -> None:
    with rotating(limits) as log:
        whole = write(log, written)
        files = on_disk(log)
        assert bool(files) is bool(whole)
        if not files:
            assert (log.sizes(), log.paths()) == ({"1.main.0.log": 0}, [])
            return
        assert {name: len(data) for name, data in files.items()} == log.sizes()
        assert list(log.sizes()) == kept("1.main.0.log", files) == [Path(path).name for path in log.paths()]
        together = b"".join(files[name] for name in log.sizes())
        assert together == whole[log.begin :]
        assert log.size == len(whole)
        assert all(data.endswith(b"\n") or not data for data in files.values())
        if "log_size" in limits:
            assert all(len(data) <= limits["log_size"] or data.count(b"\n") == 1 for data in files.values())
            assert len(files) <= limits.get("log_files", len(files))
        if "log_files" not in limits:
            assert log.begin == 0


@settings(deadline=None)
@given(
    pieces,
    LIMITS,
    st.none() | st.integers(0, 8),
    st.none() | st.integers(0, 12),
    st.none() | st.integers(0, 50_000),
    st.booleans(),
)
def test_all_files_are_one_log(
    written: list[bytes], limits: Limits, tail: int | None, since: int | None, limit: int | None, timestamps: bool
) -> None:
    options = {"tail": tail, "since": since, "limit": limit, "timestamps": timestamps}
    with rotating(limits) as log:
        whole = write(log, written)
        assume(whole)
        with open_log(log.path) as file:
            text = b"".join(select(file, cast("LogOptions", options)))
        assert text == model(whole[log.begin :], tail, since, limit, timestamps)


@settings(deadline=None)
@given(st.data(), LIMITS)
def test_following(data: st.DataObject, limits: Limits) -> None:
    """Reading between writes: everything comes once and in order, but for what was deleted before it was read."""
    lines = st.lists(st.integers(1, 200).map(lambda length: b"x" * length), max_size=20)
    reader, place, whole, text, lost = Reader({}), 0, b"", b"", False
    numbers = itertools.count()
    with rotating(limits) as log:
        for batch in data.draw(st.lists(lines, max_size=6)):
            plain = b"".join(b"%d %s\n" % (next(numbers), line) for line in batch)
            log.append(encode([plain]))
            whole += plain
            for _ in range(data.draw(st.integers(0, 4))):
                if place < log.size:
                    found, raw = log.read(place, data.draw(st.integers(1, 500)))
                    if found > place:
                        lost = True
                        text += reader.skip()
                    text += reader.feed(raw)
                    place = found + len(raw)
        while place < log.size:
            found, raw = log.read(place, 500)
            lost = lost or found > place
            text += (reader.skip() if found > place else b"") + reader.feed(raw)
            place = found + len(raw)
    if not lost:
        assert text == whole
    remaining = iter(whole.splitlines())
    assert all(line in remaining for line in text.splitlines())  # a subsequence: none doubled, none torn
    assert whole.endswith(text.splitlines(keepends=True)[-1] if text else b"")


def test_an_entry_longer_than_a_file_has_one_of_its_own(tmp_path: Path) -> None:
    log = RotatingLog(str(tmp_path / "1.main.0.log"), {"log_size": 100, "log_files": 3})
    for text in (b"a\n", b"b" * 500 + b"\n", b"c\n"):
        log.append(encode([text]))
    assert list(log.sizes().items()) == [
        ("1.main.0.log.1", len(encode([b"a\n"]))),
        ("1.main.0.log.2", len(encode([b"b" * 500 + b"\n"]))),
        ("1.main.0.log", len(encode([b"c\n"]))),
    ]
    log.close()
    log.remove()
    assert not list(tmp_path.iterdir())


def test_files_of_other_logs_are_not_taken() -> None:
    names = ["1.main.0.log", "1.main.0.log.10", "1.main.0.log.9", "1.main.0.log.x", "11.main.0.log", "1.main.0.log.1.1"]
    assert kept("1.main.0.log", names) == ["1.main.0.log.9", "1.main.0.log.10", "1.main.0.log"]
    assert kept("1.main.1.log", names) == []


@pytest.mark.parametrize("room", [0, 1, 30, 59, 60, 70])
def test_a_disk_that_is_full_for_a_while(tmp_path: Path, room: int) -> None:
    """What could not be written is lost; what comes later is whole, in whatever file."""
    log = RotatingLog(str(tmp_path / "1.main.0.log"), {"log_size": 200, "log_files": 9})
    log.append(encode([b"before the disk was full\n"]))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.size + room, limits[1]))
    try:
        with contextlib.suppress(OSError):
            log.append(encode([b"y" * 20 + b"\n"]) * 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    for n in range(5):
        log.append(encode([b"%d after it had room again\n" % n]))
    log.close()
    with open_log(log.path) as file:
        lines = b"".join(select(file, {})).splitlines()
    assert lines[0] == b"before the disk was full"
    assert lines[-5:] == [b"%d after it had room again" % n for n in range(5)]
    assert all(set(line) == set(b"y") for line in lines[1:-5])
    assert log.sizes() == {path.name: path.stat().st_size for path in tmp_path.iterdir()}


# ---- in a runner -------------------------------------------------------------------------------------------------

COUNT = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done"


def test_a_followed_log_is_whole_across_rotations(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell(f"sleep 0.3; {COUNT}", limits={"log_size": 5000, "log_files": 1000}))
        await gateway.event(lambda event: event["phase"] == "Running")
        following = await gateway.open("logs", follow=True)
        wanted = b"".join(b"line %d\n" % n for n in range(3000))
        assert await everything(following) == wanted
        assert await everything(await gateway.open("logs")) == wanted
        assert await everything(await gateway.open("logs", tail=700)) == wanted[wanted.index(b"line 2300\n") :]
        ended = await gateway.ended()
        assert len(ended["logs"]) > 20
        directory = gateway.allocation / "pods/u1"
        assert ended["logs"] == {path.name: path.stat().st_size for path in directory.iterdir()}

    play(tmp_path, scenario)


def test_a_flood_takes_no_more_than_it_may(tmp_path: Path) -> None:
    """Nor does it keep others waiting; who follows sees lines in order, and the last one."""
    size, files = 1 << 20, 3

    async def scenario(gateway: FakeGateway, process: Process) -> None:
        flood = "i=0; while [ $i -lt 20 ]; do seq -f $i.%.0f 100000; i=$((i+1)); done"
        flood += f"; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; echo 20.0"
        await gateway.start(shell(flood, limits={"log_size": size, "log_files": files}))
        await gateway.event(lambda event: event["phase"] == "Running")
        following = asyncio.ensure_future(everything(await gateway.open("logs", follow=True)))
        await gateway.start(shell("exit 3", uid="u2"))
        await gateway.ended("u2")
        assert not following.done()
        (tmp_path / "go").touch()
        largest = 0
        while not following.done():
            largest = max(largest, used(gateway.allocation / "pods/u1"))
            await asyncio.sleep(0.005)
        lines = [tuple(map(int, line.split(b"."))) for line in (await following).splitlines()]
        assert lines == sorted(set(lines))
        assert lines[-1] == (20, 0)
        assert size < largest <= size * files
        ended = await gateway.ended()
        assert size < sum(ended["logs"].values()) <= size * files
        shown = (await everything(await gateway.open("logs"))).splitlines()
        wanted = [*(b"19.%d" % n for n in range(1, 100_001)), b"20.0"]
        assert 10_000 < len(shown) < len(wanted)
        assert shown == wanted[-len(shown) :]

    play(tmp_path, scenario)


def used(directory: Path) -> int:
    """Bytes of its files; it is made with the first of them."""
    total = 0
    for entry in os.scandir(directory) if directory.exists() else ():
        with contextlib.suppress(FileNotFoundError):
            total += entry.stat().st_size
    return total
