"""The rules, one by one."""

from __future__ import annotations

from dataclasses import replace

from .samples import TERMS, matched, room, shape, waiting


def test_a_pod_that_is_bound_has_left_the_queue_and_is_in_its_room() -> None:
    queue, one = waiting(("a", shape(2)), ("b", shape(20))), room()
    assert matched(queue, [one], at=7.0) == {"a": "n"}
    assert "a" not in queue
    assert "b" in queue
    assert one.pods["a"].since == 7.0
    assert one.free_millicores == 6000


def test_first_come_first_served() -> None:
    queue = waiting(("late", shape(8), 5.0), ("early", shape(7), 1.0), ("later", shape(8), 6.0))
    assert matched(queue, [room()]) == {"early": "n"}


def test_the_higher_priority_goes_first_however_late_it_came() -> None:
    queue = waiting(("a", shape(8)), ("b", shape(8, priority=1)), ("c", shape(8, priority=-1)))
    assert matched(queue, [room()]) == {"b": "n"}


def test_a_higher_priority_that_has_no_space_holds_up_nobody() -> None:
    queue = waiting(("high", shape(9, priority=1)), ("low", shape()))
    assert matched(queue, [room()]) == {"low": "n"}


def test_a_room_is_its_owners() -> None:
    queue = waiting(("a", shape()), ("b", shape(owner="bob")), ("c", shape(owner="carol")))
    rooms = [room("bobs", owner="bob"), room("alices", owner="alice")]
    assert matched(queue, rooms) == {"a": "alices", "b": "bobs"}
    assert matched(queue, [room("anybodys")]) == {"c": "anybodys"}


def test_a_pod_without_gpus_keeps_off_rooms_with_free_ones() -> None:
    rooms = [room("gpus", gpus=4), room("cores")]
    rooms[0].take("x", shape(6).demand, 0.0)
    assert matched(waiting(("a", shape())), rooms) == {"a": "cores"}


def test_where_only_a_room_with_free_gpus_fits_a_pod_without_gets_it() -> None:
    rooms = [room("four", gpus=4), room("one", gpus=1), room("small", millicores=1000)]
    assert matched(waiting(("a", shape(2))), rooms) == {"a": "one"}


def test_gpus_that_are_all_in_use_are_no_reason_to_keep_off() -> None:
    busy, idle = room("busy", gpus=4), room("idle")
    busy.take("x", shape(4, gpus=4).demand, 0.0)
    assert matched(waiting(("a", shape())), [idle, busy]) == {"a": "busy"}


def test_gpus_are_not_fragmented() -> None:
    rooms = [room("four", gpus=4), room("two", gpus=4), room("three", gpus=4)]
    rooms[1].take("x", shape(gpus=2).demand, 0.0)
    rooms[2].take("y", shape(gpus=1).demand, 0.0)
    queue = waiting(*((f"p{number}", shape(gpus=2)) for number in range(4)))
    assert matched(queue, rooms) == {"p0": "two", "p1": "three", "p2": "four", "p3": "four"}


def test_the_fullest_room_that_fits_is_filled_first() -> None:
    rooms = [room("empty"), room("half"), room("full")]
    rooms[1].take("x", shape(4).demand, 0.0)
    rooms[2].take("y", shape(7).demand, 0.0)
    queue = waiting(*((f"p{number}", shape(2)) for number in range(3)))
    assert matched(queue, rooms) == {"p0": "half", "p1": "half", "p2": "empty"}


def test_what_one_shape_filled_is_the_fullest_for_the_next() -> None:
    rooms = [room("first", millicores=16_000), room("second", millicores=8_000)]
    rooms[1].take("x", shape(1).demand, 0.0)
    queue = waiting(("a", shape(1)), ("big", shape(10)), ("c", shape(1)))
    assert matched(queue, rooms) == {"a": "second", "big": "first", "c": "first"}


def test_the_room_that_a_shape_fills_itself_is_the_fullest_for_it() -> None:
    rooms = [room("x", millicores=16_000), room("y", millicores=16_000, partition="other")]
    rooms[0].take("in-x", shape(6).demand, 0.0)
    rooms[1].take("in-y", shape(1).demand, 0.0)
    queue = waiting(("a", shape(2)), ("b", shape(6, partition="other")), ("c", shape(2)))
    assert matched(queue, rooms) == {"a": "x", "b": "y", "c": "x"}


def test_a_pod_that_would_outlast_the_room_waits_for_another() -> None:
    queue = waiting(("long", shape(walltime=3600)), ("short", shape(walltime=60)), ("silent", shape()))
    ending = room("ending", ends_at=1000.0)
    assert matched(queue, [ending], at=900.0) == {"short": "ending"}
    assert matched(queue, [ending, room("fresh", ends_at=4501.0)], at=901.0) == {"long": "fresh", "silent": "fresh"}


def test_one_pod_of_a_port_on_each_node() -> None:
    ports: dict[int, str] = {8080: "dedicated"}
    taken, node = room("taken", ports=ports), dict[int, str]()
    rooms = [taken, room("one", ports=node), room("two", ports=node)]
    queue = waiting(("a", shape(ports=(8080,))), ("b", shape(ports=(8080,))), ("c", shape()))
    assert matched(queue, rooms).keys() == {"a", "c"}
    assert len(queue) == 1


def test_nothing_waits_or_nothing_is_free() -> None:
    full = room()
    full.take("x", shape(8).demand, 0.0)
    assert matched(waiting(), [room()]) == {}
    assert matched(waiting(("a", shape())), [full]) == {}
    assert matched(waiting(("a", shape())), []) == {}


def test_owners_take_turns_by_what_they_have() -> None:
    one = room()
    for number in range(3):
        one.take(f"x{number}", shape().demand, 0.0, "alice")
    queue = waiting(
        *((f"a{number}", shape(), 0.0) for number in range(9)),
        *((f"b{number}", shape(owner="bob"), 1.0) for number in range(9)),
    )
    bound = list(matched(queue, [one]))
    assert bound == ["b0", "b1", "b2", "a0", "b3"]


def test_the_largest_share_of_any_one_resource_counts() -> None:
    """Half of the GPUs is more than a quarter of the cores."""
    one = room(gpus=4)
    one.take("x", shape(1, gpus=2).demand, 0.0, "alice")
    one.take("y", shape(2).demand, 0.0, "bob")
    assert matched(waiting(("a", shape(3), 0.0), ("b", shape(3, owner="bob"), 1.0)), [one]) == {"b": "n"}


def test_what_somebody_has_in_a_room_of_their_own_is_no_reason_to_wait() -> None:
    own, shared = room("own", owner="alice"), room("shared", millicores=1000)
    own.take("x", shape(8).demand, 0.0)
    queue = waiting(("a", shape(), 0.0), ("b", shape(owner="bob"), 1.0))
    assert matched(queue, [own, shared]) == {"a": "shared"}


def test_priority_comes_before_fairness_and_fairness_before_age() -> None:
    one = room(millicores=3000)
    queue = waiting(
        ("old", shape(), 0.0),
        ("older", shape(), -1.0),
        ("other", shape(owner="bob"), 5.0),
        ("urgent", shape(priority=1), 9.0),
    )
    assert list(matched(queue, [one])) == ["urgent", "other", "older"]


def test_a_room_that_is_kept_for_a_pod_is_let_go_when_nobody_of_its_shape_waits_any_more() -> None:
    one = room()
    one.take("x", shape(4).demand, 0.0)
    queue = waiting(("large", shape(8), -1000.0), ("small", shape(2)))
    assert matched(queue, [one]) == {}
    assert one.kept is not None
    assert one.kept.shape == shape(8)
    queue.remove("large")
    assert matched(queue, [one]) == {"small": "n"}
    assert one.kept is None


def test_a_site_may_be_patient() -> None:
    one = room()
    one.take("x", shape(4).demand, 0.0)
    queue = waiting(("large", shape(8), -1000.0), ("small", shape(2)))
    assert matched(queue, [one], terms=replace(TERMS, starve_after=5000.0)) == {"small": "n"}
