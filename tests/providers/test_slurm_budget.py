"""The bucket of tokens, on a clock that only moves when somebody sleeps."""

from __future__ import annotations

import asyncio

import pytest

from farnode.providers.slurm.budget import CANCEL_RESERVE, SUBMIT_RESERVE, Budget, Urgency
from tests.providers.helpers import Clock

pytestmark = pytest.mark.anyio


class Sleeper:
    """A clock that jumps to the end of the shortest sleep once nobody has anything else to do."""

    def __init__(self) -> None:
        self.clock = Clock(0.0)
        self.sleeping: list[float] = []

    async def __call__(self, delay: float) -> None:
        end = self.clock.now + delay
        self.sleeping.append(end)
        await asyncio.sleep(0)
        while min(self.sleeping) < end:
            await asyncio.sleep(0)
        self.clock.now = max(self.clock.now, end)
        self.sleeping.remove(end)


def bucket(burst: int, per_minute: float) -> tuple[Budget, Sleeper]:
    sleeper = Sleeper()
    return Budget(burst, per_minute, clock=sleeper.clock, sleep=sleeper), sleeper


async def test_a_burst_is_free_and_then_calls_are_spread() -> None:
    budget, sleeper = bucket(burst=40, per_minute=4)
    times = []
    free = 40 - CANCEL_RESERVE - SUBMIT_RESERVE
    for _ in range(free + 2):
        await budget.take(Urgency.QUERY)
        times.append(sleeper.clock.now)
    assert times[:free] == [0.0] * free
    assert times[-2:] == pytest.approx([15.0, 30.0])


async def test_the_reserve_is_for_cancelling() -> None:
    budget, sleeper = bucket(burst=10, per_minute=1)
    for _ in range(10 - CANCEL_RESERVE):
        await budget.take(Urgency.SUBMIT)
    for _ in range(CANCEL_RESERVE):
        await budget.take(Urgency.CANCEL)
    assert sleeper.clock.now == 0.0
    await budget.take(Urgency.CANCEL)
    assert sleeper.clock.now == pytest.approx(60.0)


async def test_questions_leave_something_to_submissions() -> None:
    budget, sleeper = bucket(burst=20, per_minute=1)
    for _ in range(20 - CANCEL_RESERVE - SUBMIT_RESERVE):
        await budget.take(Urgency.QUERY)
    for _ in range(SUBMIT_RESERVE):
        await budget.take(Urgency.SUBMIT)
    assert (sleeper.clock.now, budget.left) == (0.0, CANCEL_RESERVE)


async def test_the_urgent_go_first() -> None:
    budget, _ = bucket(burst=1, per_minute=60)
    await budget.take(Urgency.QUERY)
    order: list[str] = []

    async def take(urgency: Urgency) -> None:
        await budget.take(urgency)
        order.append(urgency.name)

    await asyncio.gather(*(take(urgency) for urgency in (Urgency.QUERY, Urgency.SUBMIT, Urgency.CANCEL)))
    assert order == ["CANCEL", "SUBMIT", "QUERY"]


async def test_waiting_can_be_given_up() -> None:
    budget, sleeper = bucket(burst=1, per_minute=60)
    await budget.take(Urgency.CANCEL)
    waiter = asyncio.create_task(budget.take(Urgency.CANCEL))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    sleeper.sleeping.clear()
    sleeper.clock.now += 1.0
    await budget.take(Urgency.QUERY)
    assert sleeper.clock.now == 1.0, "nobody waits behind one who left"
