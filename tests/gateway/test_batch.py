"""What the batch system is asked to do and asked for, by the machine, the store and the clock of a real gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farnode.errors import Transient
from farnode.gateway import batch as module
from farnode.gateway import stimuli as s
from farnode.gateway.batch import BatchSystem, Cadence
from farnode.gateway.engine import Engine
from farnode.gateway.machine import Machine
from farnode.gateway.records import AllocationRecord, Life
from farnode.gateway.state import Rules
from farnode.gateway.store import Store
from farnode.model.allocation import AllocationId, AllocationRequest, AllocationState, Cause, Phase, Refused
from farnode.model.offer import Offer

pytestmark = pytest.mark.anyio
POLL = 0.05


@dataclass
class Jobs:
    """A batch system that takes, or refuses, what a test has it do, and remembers what it was asked."""

    asked: list[str] = field(default_factory=list)
    submitted: list[list[str]] = field(default_factory=list)
    cancelled: list[list[str]] = field(default_factory=list)
    refusal: Refused | None = None
    failing: set[str] = field(default_factory=set)
    state: AllocationState = AllocationState(Phase.RUNNING)  # noqa: RUF009 - frozen
    taking: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.taking.set()

    async def submit(self, wanted: Sequence[AllocationRequest]) -> Sequence[AllocationId | Refused]:
        self.submitted.append([request.nonce for request in wanted])
        await self.taking.wait()
        self._answer("submit")
        return [self.refusal or AllocationId(request.nonce, f"7_{request.index}") for request in wanted]

    async def cancel(self, ids: Collection[AllocationId]) -> None:
        self.cancelled.append([each.nonce for each in ids])
        self._answer("cancel")

    async def states(self, ids: Collection[AllocationId]) -> Mapping[AllocationId, AllocationState]:
        self._answer("states")
        return dict.fromkeys(ids, self.state)

    async def inventory(self) -> Sequence[Offer]:
        self._answer("inventory")
        return (Offer("main", 4, 1 << 30),)

    def _answer(self, question: str) -> None:
        self.asked.append(question)
        if question in self.failing:
            raise Transient("it does not answer")


@dataclass
class Stage:
    engine: Engine
    batch: BatchSystem
    jobs: Jobs
    runners: Any
    prepared: list[list[str]]

    def record(self, nonce: str) -> AllocationRecord:
        return self.engine.machine.allocations[nonce]

    async def want(self, *nonces: str) -> None:
        at = self.engine.clock()
        await self.engine.ask(
            *(
                s.AllocationWanted(at, AllocationRequest(nonce, 1, 0, f"/spool/{nonce}"), "main", owner="alice")
                for nonce in nonces
            )
        )

    async def connect(self, nonce: str) -> None:
        self.runners.connected[nonce] = nonce
        at = self.engine.clock()
        await self.engine.ask(s.RunnerConnected(at, nonce, "i", "n1", self.record(nonce).job or "", {"gpus": []}, []))

    def leave(self, nonce: str) -> None:
        del self.runners.connected[nonce]
        self.runners.gone(nonce)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def stage(path: Path, poll: float = POLL) -> AsyncIterator[Stage]:
    store = Store(path / "farnode.db")
    engine = Engine(Machine(Rules(settle_after=0.0)), store, time.time)
    jobs, prepared = Jobs(), list[list[str]]()
    runners: Any = SimpleNamespace(connected={}, gone=None)

    def prepare(nonces: Iterable[str]) -> None:
        prepared.append(list(nonces))

    provider: Any = jobs
    batch = BatchSystem(engine, provider, runners, Cadence(poll, 3600.0, 3600.0, 1), prepare)

    def perform(effects: list[s.Effect]) -> None:
        for effect in effects:
            match effect:
                case s.SubmitAllocation(nonce):
                    batch.submit(nonce)
                case s.CancelAllocation(nonce):
                    batch.cancel(nonce)
                case _:
                    pass

    engine.perform = perform
    tasks = [asyncio.create_task(engine.run()), asyncio.create_task(batch.run())]
    try:
        yield Stage(engine, batch, jobs, runners, prepared)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        store.close()


async def test_all_that_is_wanted_at_once_is_one_submission(tmp_path: Path) -> None:
    nonces = [f"b-{index}" for index in range(50)]
    async with stage(tmp_path) as here:
        await here.want(*nonces)
        await here.until(lambda: here.record("b-49").job)
        assert here.jobs.submitted == here.prepared == [nonces]
        assert here.record("b-3").job == "7_3"


async def test_where_nothing_lives_nothing_is_asked(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        await asyncio.sleep(10 * POLL)
        assert here.jobs.asked == ["inventory"]


async def test_a_runner_that_said_goodbye_needs_no_question(tmp_path: Path) -> None:
    async with stage(tmp_path, poll=15.0) as here:
        await here.want("b-0")
        await here.until(lambda: here.record("b-0").job)
        await here.connect("b-0")
        await here.engine.tell(s.RunnerLeft(here.engine.clock(), "b-0", "i"))
        here.leave("b-0")
        await here.until(lambda: here.record("b-0").life is Life.ENDED)
        await asyncio.sleep(0.4)
        assert sorted(here.jobs.asked) == ["inventory", "submit"]


async def test_a_runner_that_left_without_a_word_is_asked_for_at_once(tmp_path: Path) -> None:
    async with stage(tmp_path, poll=15.0) as here:
        await here.want("b-0")
        await here.until(lambda: here.record("b-0").job)
        await here.connect("b-0")
        here.jobs.state = AllocationState(Phase.ENDED, "7_0", Cause.PREEMPTED)
        here.leave("b-0")
        await here.until(lambda: here.record("b-0").cause is Cause.PREEMPTED)
        assert here.jobs.asked.count("states") == 1


async def test_an_element_of_another_array_says_nothing_of_a_runner_that_came(tmp_path: Path) -> None:
    async with stage(tmp_path, poll=15.0) as here:
        await here.want("b-0")
        await here.until(lambda: here.record("b-0").job)
        await here.connect("b-0")
        here.jobs.state = AllocationState(Phase.ENDED, "9_0", Cause.CANCELLED)
        here.leave("b-0")
        await here.until(lambda: here.jobs.asked.count("states"))
        await here.engine.ask()
        assert here.record("b-0").cause is None


async def test_a_submission_that_failed_is_looked_for_and_then_made_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        here.jobs.failing = {"submit"}
        here.jobs.state = AllocationState(Phase.ABSENT)
        await here.want("b-0")
        await here.until(lambda: here.jobs.asked.count("submit") == 1)
        assert here.batch.problem == "it does not answer"
        here.jobs.failing = set()
        await here.until(lambda: here.record("b-0").job)
        assert here.jobs.submitted == [["b-0"], ["b-0"]]
        assert here.batch.problem is None


async def test_a_cancellation_that_failed_is_made_again_and_one_that_did_not_is_not(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        here.jobs.failing = {"cancel"}
        await here.want("b-0")
        await here.until(lambda: here.record("b-0").job)
        await here.engine.tell(s.DrainAsked(here.engine.clock(), "b-0", "not needed"))
        await here.until(lambda: here.jobs.asked.count("cancel") == 1)
        here.jobs.failing = set()
        await here.until(lambda: here.jobs.asked.count("cancel") == 2)
        questions = here.jobs.asked.count("states")
        await here.until(lambda: here.jobs.asked.count("states") > questions)
        assert here.jobs.cancelled == [["b-0"], ["b-0"]]


async def test_what_is_cancelled_while_it_is_submitted_is_cancelled_once(tmp_path: Path) -> None:
    async with stage(tmp_path, poll=15.0) as here:
        here.jobs.taking.clear()
        await here.want("b-0")
        await here.until(lambda: here.jobs.submitted)
        await here.engine.tell(s.DrainAsked(here.engine.clock(), "b-0", "not needed"))
        await here.until(lambda: here.record("b-0").cancelled)
        await asyncio.sleep(0.05)
        assert not any(here.jobs.cancelled)
        here.jobs.taking.set()
        await here.until(lambda: any(here.jobs.cancelled))
        await asyncio.sleep(0.05)
        assert [nonce for call in here.jobs.cancelled for nonce in call] == ["b-0"]


async def test_a_refusal_for_good_is_a_reason_to_look_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INVENTORY_AGAIN", 0.05)
    async with stage(tmp_path) as here:
        here.jobs.refusal = Refused("for the moment", again=True)
        await here.want("b-0")
        await asyncio.sleep(0.3)
        assert here.jobs.asked.count("inventory") == 1
        here.jobs.refusal = Refused("there is no such partition")
        await here.want("c-0")
        await here.until(lambda: here.jobs.asked.count("inventory") == 2)


async def test_a_batch_system_that_does_not_answer_is_asked_again_and_said_to_be_silent(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        here.jobs.failing = {"states", "inventory"}
        await here.want("b-0")
        await here.until(lambda: here.jobs.asked.count("states") == 2)
        assert here.batch.problem == "it does not answer"
        here.jobs.failing = set()
        await here.until(lambda: here.record("b-0").phase == "running")
        assert here.batch.problem is None


async def test_a_submission_that_is_taken_says_nothing_of_questions_that_fail(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        await here.want("a")
        await here.until(lambda: here.record("a").job)
        here.jobs.failing = {"states"}
        await here.until(lambda: here.batch.problem)
        await here.want("b")
        await here.until(lambda: here.record("b").job)
        assert here.batch.problem == "it does not answer"
        here.jobs.failing = set()
        await here.until(lambda: here.batch.problem is None)
