"""The queue of pods, and calls that become one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from farnode.errors import Transient
from farnode.node.batch import Batch
from farnode.node.workqueue import WorkQueue

pytestmark = pytest.mark.anyio


async def test_a_burst_of_changes_is_one_turn() -> None:
    queue = WorkQueue()
    for uid in ("a", "b", "a", "a"):
        queue.add(uid)
    assert [await queue.take(), await queue.take(), len(queue)] == ["a", "b", 0]


async def test_what_changes_in_a_workers_hands_comes_back_afterwards() -> None:
    queue = WorkQueue()
    queue.add("a")
    await queue.take()
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.take() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_who_waits_is_woken_by_the_next() -> None:
    queue = WorkQueue()
    takers = [asyncio.create_task(queue.take()) for _ in range(3)]
    await asyncio.sleep(0)
    for uid in ("a", "b", "c"):
        queue.add(uid)
    assert sorted(await asyncio.gather(*takers)) == ["a", "b", "c"]


async def test_the_soonest_of_several_times_counts() -> None:
    queue = WorkQueue()
    queue.later("a", 1000)
    queue.later("a", 0)
    queue.later("a", 1000)
    assert await asyncio.wait_for(queue.take(), 10) == "a"


async def test_what_failed_comes_again_later_each_time() -> None:
    queue, loop = WorkQueue(), asyncio.get_running_loop()
    delays = []
    for _ in range(3):
        queue.add("a")
        await queue.take()
        queue.failed("a", 0.0, jitter=lambda: 1.0)
        delays.append(queue._timers.pop("a"))
    left = [timer.when() - loop.time() for timer in delays]
    assert left[0] < left[1] < left[2] <= 0.4
    queue.add("a")
    await queue.take()
    queue.failed("a", 20.0)
    assert queue._timers["a"].when() - loop.time() > 19


async def test_calls_that_come_while_one_is_under_way_go_together() -> None:
    sent: list[list[int]] = []

    async def send(items: Sequence[int]) -> Sequence[int]:
        sent.append(list(items))
        await asyncio.sleep(0)
        return [item * 2 for item in items]

    batch = Batch(send, 3)
    assert await asyncio.gather(*(batch.ask(number) for number in range(7))) == [0, 2, 4, 6, 8, 10, 12]
    assert sent == [[0, 1, 2], [3, 4, 5], [6]]


async def test_an_error_is_that_of_all_who_asked_and_of_nobody_later() -> None:
    failing = True

    async def send(items: Sequence[int]) -> Sequence[int]:
        if failing:
            raise Transient("away")
        return items

    batch = Batch(send, 10)
    found = await asyncio.gather(batch.ask(1), batch.ask(2), return_exceptions=True)
    assert [str(error) for error in found] == ["away", "away"]
    failing = False
    assert await batch.ask(3) == 3
