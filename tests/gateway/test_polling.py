"""How often the batch system is asked, on a clock that is only a number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from farnode.gateway.polling import PAUSE, Awaited, Polling, awaited
from farnode.gateway.records import AllocationRecord, Life
from farnode.model.allocation import AllocationRequest

SHORTEST = 15.0


def record(life: Life, **values: Any) -> AllocationRecord:
    return replace(AllocationRecord(AllocationRequest("n", 1, 0, "/spool/n"), "main", 0.0, life), **values)


def questions(what: Awaited, until: float, shortest: float = SHORTEST) -> list[float]:
    """When it is asked, from the moment on that this is awaited of an allocation."""
    polling, now, asked = Polling(shortest), 0.0, []
    while (due := polling.due({"n": what}, now)) is not None and due <= until:
        now = due
        asked.append(round(now, 1))
        polling.asked(now, True)
    return asked


@pytest.mark.parametrize(
    ("given", "connected", "what"),
    [
        (record(Life.WANTED), False, Awaited.ARRIVAL),
        (record(Life.SUBMITTED), False, Awaited.START),
        (record(Life.SUBMITTED, phase="running"), False, Awaited.START),
        (record(Life.SUBMITTED, absent=1.0), False, Awaited.ARRIVAL),
        (record(Life.RUNNING), True, Awaited.NOTHING),
        (record(Life.RUNNING, draining=True), True, Awaited.NOTHING),
        (record(Life.RUNNING), False, Awaited.DEATH),
        (record(Life.RUNNING, absent=1.0), False, Awaited.DEATH),
        (record(Life.RUNNING, cancelled=True), True, Awaited.END),
        (record(Life.WANTED, cancelled=True), False, Awaited.END),
        (record(Life.RUNNING, phase="ended"), False, Awaited.END),
        (record(Life.RUNNING, phase="ended", given_up=1.0), False, None),
        (record(Life.ENDED), False, None),
    ],
)
def test_what_is_awaited(given: AllocationRecord, connected: bool, what: Awaited | None) -> None:
    assert awaited(given, connected) is what


def test_a_submission_that_nobody_confirmed_is_looked_for_soon() -> None:
    assert questions(Awaited.ARRIVAL, 200) == [2, 6, 14, 30, 62, 122, 182]


def test_a_queue_is_asked_less_and_less() -> None:
    asked = questions(Awaited.START, 24 * 3600)
    assert asked[:4] == [15, 37.5, 71.2, 121.9]
    assert asked[-1] - asked[-2] == pytest.approx(120)
    assert len(asked) < 24 * 30 + 10


def test_a_runner_that_left_without_a_word_is_asked_for_at_once() -> None:
    assert questions(Awaited.DEATH, 200) == [0.2, 2.2, 6.2, 14.2, 30.2, 62.2, 122.2, 182.2]
    assert questions(Awaited.DEATH, 14, shortest=1.0) == [0.2, 2.2, 6.2, 10.2]


def test_while_runners_tell_all_it_is_asked_for_safety_only() -> None:
    assert questions(Awaited.NOTHING, 3600) == [600, 1200, 1800, 2400, 3000, 3600]


def test_nothing_lives_and_nothing_is_asked() -> None:
    assert Polling(SHORTEST).due({}, 0.0) is None
    polling = Polling(SHORTEST)
    polling.due({"n": Awaited.DEATH}, 0.0)
    assert polling.due({}, 1.0) is None


def test_the_most_impatient_decides_and_one_question_is_for_all() -> None:
    polling = Polling(SHORTEST)
    both = {"a": Awaited.START, "b": Awaited.NOTHING}
    assert polling.due(both, 0.0) == 15
    polling.asked(15.0, True)
    assert polling.due(both, 15.0) == 37.5
    assert polling.due({**both, "b": Awaited.DEATH}, 20.0) == 20.2
    polling.asked(20.2, True)
    assert polling.due({"b": Awaited.DEATH}, 20.2) == 22.2
    assert polling.due({"b": Awaited.NOTHING}, 21.0) == 621, "its runner came back"


def test_runners_lost_one_after_the_other_are_asked_for_together() -> None:
    polling, now, lost, asked = Polling(SHORTEST), 0.0, dict[str, Awaited](), 0
    for number in range(100):
        now += 0.1
        lost[str(number)] = Awaited.DEATH
        if (due := polling.due(lost, now)) is not None and due <= now:
            polling.asked(now, True)
            asked += 1
    assert asked <= now / PAUSE + 1


def test_a_question_without_an_answer_is_put_again_until_there_is_one() -> None:
    polling = Polling(SHORTEST)
    calm = {"n": Awaited.NOTHING}
    assert polling.due(calm, 0.0) == 600
    polling.asked(600.0, False)
    assert polling.due(calm, 600.0) == 615
    polling.asked(615.0, False)
    assert polling.due({}, 615.0) == 645, "also when nothing lives any more"
    polling.asked(645.0, True)
    assert polling.due({}, 645.0) is None
