"""What a decision costs, in bytecodes that were executed: the same on every machine, however busy it is."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from farnode.scheduler.matching import match
from farnode.scheduler.queue import Queue
from farnode.scheduler.room import Room

from .samples import TERMS, room, shape

SHAPES = [shape(1), shape(2), shape(1, memory=1), shape(1, walltime=600), shape(1, gpus=1)]


def spent_on(queue: Queue, rooms: list[Room]) -> int:
    """By one call of the matcher."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        if not frame.f_globals.get("__name__", "").startswith("farnode."):
            return None  # whatever collecting garbage calls
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    old = sys.gettrace()
    sys.settrace(trace)
    try:
        match(queue, rooms, 9.0, TERMS)
    finally:
        sys.settrace(old)
    return count


def queue(count: int, starving: bool = False) -> Queue:
    made = Queue()
    for number in range(count):
        made.add(f"p{number}", SHAPES[number % len(SHAPES)], -1e9 if starving else 0.0)
    return made


def full(rooms: int, but_for: float = 0) -> list[Room]:
    """Rooms of 8 cores, all in use but for so many of one of them."""
    made = [room(f"n{number}") for number in range(rooms)]
    for number, each in enumerate(made):
        each.take(f"x{number}", shape(8 if number else 8 - but_for).demand, 0.0)
    return made


def test_the_length_of_the_queue_costs_nothing() -> None:
    for starving in (False, True):
        for but_for in (0, 0.5, 1, 3):
            few, many = (spent_on(queue(count, starving), full(10, but_for)) for count in (50, 5000))
            assert few == many


def test_where_nothing_is_free_a_call_costs_one_look_at_each_room() -> None:
    spent = {count: spent_on(queue(50), full(count)) for count in (10, 100)}
    assert (spent[100] - spent[10]) / 90 < 20


def test_more_rooms_cost_a_binding_little() -> None:
    """Ten times the rooms: each is looked at once for each shape, then the best is at hand."""
    few, many = (spent_on_each(4000, rooms=count) for count in (10, 100))
    assert many < 2 * few


def test_a_binding_costs_the_same_however_many_are_made() -> None:
    few, many = (spent_on_each(waiting, rooms=10) for waiting in (50, 500))
    assert many < 1.1 * few


def spent_on_each(waiting: int, rooms: int) -> float:
    """Bindings to rooms that are empty."""
    pods = queue(waiting)
    spent = spent_on(pods, [room(f"n{number}", millicores=100_000) for number in range(rooms)])
    return spent / (waiting - len(pods))
