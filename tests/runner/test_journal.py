"""Events: numbered, on disk, and all there again however few are in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farnode.runner.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "events.jsonl", remembered=4)


def fill(journal: Journal, count: int) -> None:
    journal.append([{"uid": "u", "attempt": 1}] * count)


def after(journal: Journal, seq: int, limit: int = 3) -> list[int]:
    found = journal.after(seq, limit)
    assert [json.loads(event.line)["seq"] for event in found] == [event.seq for event in found]
    return [event.seq for event in found]


def test_all_events_can_be_had_in_pieces(journal: Journal) -> None:
    fill(journal, 20)
    got: list[int] = []
    while len(got) < 20:
        got += after(journal, len(got))
    assert got == list(range(1, 21))
    assert after(journal, 20) == []
    assert after(journal, 7) == [8, 9, 10]
    journal.close()


def test_acknowledged_events_are_not_kept(journal: Journal) -> None:
    fill(journal, 4)
    journal.acknowledge(3)
    assert after(journal, 3) == [4]
    journal.acknowledge(4)
    fill(journal, 1)
    assert after(journal, 4) == [5]
    journal.close()


def test_what_the_gateway_has_does_not_fill_the_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy it is: something is never acknowledged yet."""
    monkeypatch.setattr("farnode.runner.journal.KEPT_BYTES", 2000)
    path = tmp_path / "events.jsonl"
    journal = Journal(path, remembered=40)
    for turn in range(1, 200):
        fill(journal, 5)
        journal.acknowledge(5 * turn - 3)
        seqs = [json.loads(line)["seq"] for line in path.read_bytes().splitlines()]
        assert seqs == list(range(seqs[0], 5 * turn + 1))
        assert seqs[0] <= 5 * turn - 2
        assert path.stat().st_size < 2500
        assert after(journal, 5 * turn - 3) == seqs[-3:]
    assert path.stat().st_mode & 0o777 == 0o600
    journal.acknowledge(995)
    fill(journal, 60)
    journal.acknowledge(996)
    assert after(journal, 996, 2) == [997, 998]
    journal.close()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_nothing_is_lost_to_a_full_spool(journal: Journal, tmp_path: Path) -> None:
    fill(journal, 2)
    writing: Any = journal._file
    journal._file = Full(writing)  # type: ignore[assignment]
    fill(journal, 6)
    assert after(journal, 2, 10) == [3, 4, 5, 6, 7, 8]
    journal._file = writing
    fill(journal, 6)
    assert after(journal, 0, 20) == list(range(1, 14 - len(journal._recent) + 1))
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines()
    whole = [json.loads(line)["seq"] for line in lines if line.endswith(b"}")]
    assert whole == list(range(1, 15))
    journal.close()


class Full:
    """A disk that takes a few bytes and then no more."""

    def __init__(self, file: Any) -> None:
        self._write: Callable[[bytes], int] = file.write

    def write(self, data: bytes) -> int:
        return self._write(data[:5])


def test_waiting(journal: Journal) -> None:
    async def scenario() -> None:
        longer = asyncio.create_task(journal.longer(0))
        acknowledged = asyncio.create_task(journal.all_acknowledged())
        await asyncio.sleep(0)
        assert (longer.done(), acknowledged.done()) == (False, True)
        fill(journal, 1)
        await longer
        acknowledged = asyncio.create_task(journal.all_acknowledged())
        await asyncio.sleep(0)
        assert not acknowledged.done()
        journal.acknowledge(1)
        await acknowledged

    asyncio.run(scenario())
    journal.close()
