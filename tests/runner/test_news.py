"""What is told of pods: ends at once, the rest soon, and everything when the gateway has answered."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from farnode.runner.news import HELD_BACK, SOON, News
from farnode.runner.pods.pod import Pod

from .stage import PATIENCE, Stage, play


class Told:
    """News, and the pods of each message they became."""

    def __init__(self, stage: Stage) -> None:
        self.messages: list[list[str]] = []
        self.pending = False
        self.news = News(self._record, lambda: self.pending)
        self.pods = {uid: Pod(stage.order(uid=uid), stage.host, [], lambda _: None) for uid in "abc"}

    def add(self, uid: str, urgent: bool = True) -> None:
        self.news.add(self.pods[uid], urgent)

    def _record(self, events: Any) -> None:
        self.messages.append([event["uid"] for event in events])

    async def message(self) -> list[str]:
        """The next one."""
        async with asyncio.timeout(PATIENCE):
            while not self.messages:
                await asyncio.sleep(SOON)
        return self.messages.pop(0)


def test_what_is_not_urgent_waits_for_more(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        told = Told(stage)
        told.add("a", urgent=False)
        told.add("b")
        told.add("c", urgent=False)
        told.add("c")
        assert await told.message() == ["b", "c"]
        assert await told.message() == ["a"]
        await asyncio.sleep(SOON * 2)
        assert not told.messages

    play(tmp_path, scenario)


def test_everything_waits_for_an_answer_but_not_for_long(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        told = Told(stage)
        told.pending = True
        told.add("a")
        told.add("b")
        await asyncio.sleep(0)
        assert not told.messages
        told.news.tell()
        told.news.tell()
        assert told.messages == [["a", "b"]]
        told.messages.clear()
        told.add("c", urgent=False)
        assert await told.message() == ["c"]

    play(tmp_path, scenario)


def test_at_the_end_nothing_is_left_to_tell(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        told = Told(stage)
        told.pending = True
        told.add("a", urgent=False)
        told.add("b")
        told.news.tell_all()
        assert told.messages == [["b", "a"]]
        await asyncio.sleep(HELD_BACK * 2)
        assert told.messages == [["b", "a"]]

    play(tmp_path, scenario)
