"""Rooms kept for pods that starve, and who may enter them."""

from __future__ import annotations

import pytest

from farnode.scheduler.queue import Queue, Shape
from farnode.scheduler.room import Room

from .samples import matched, room, shape, waiting

LARGE = shape(8)
LONG_AGO = -1000.0


def busy(nonce: str, cores: float, **given: object) -> Room:
    """With a pod of so many cores."""
    made = room(nonce, **given)
    made.take(f"in-{nonce}", shape(cores).demand, 0.0)
    return made


def kept_for(each: Room) -> Shape | None:
    return each.kept.shape if each.kept else None


def behind(*pods: tuple[str, Shape]) -> Queue:
    """After a large pod that starves."""
    return waiting(("large", LARGE, LONG_AGO), *pods)


def test_one_room_is_kept_and_the_others_go_on() -> None:
    rooms = [busy("n1", 7), busy("n2", 6), busy("n3", 7)]
    assert matched(behind(("a", shape()), ("b", shape()), ("c", shape())), rooms) == {"a": "n1", "b": "n3"}
    assert [each.nonce for each in rooms if kept_for(each) == LARGE] == ["n2"]


def test_it_is_kept_until_its_pod_has_begun() -> None:
    rooms = [busy("n1", 7), busy("n2", 6)]
    queue = behind(*((f"s{number}", shape()) for number in range(20)))
    matched(queue, rooms)
    rooms[0].give("in-n1")
    matched(queue, rooms, at=101.0)
    assert [kept_for(each) for each in rooms] == [None, LARGE]
    rooms[1].give("in-n2")
    assert matched(queue, rooms, at=102.0) == {"large": "n2"}
    assert [kept_for(each) for each in rooms] == [None, None]


def test_a_pod_that_fits_elsewhere_meanwhile_needs_it_no_more() -> None:
    rooms = [busy("n1", 6)]
    queue = behind(("a", shape()), ("b", shape()))
    assert matched(queue, rooms) == {}
    assert matched(queue, [*rooms, room("fresh")], at=101.0) == {"large": "fresh", "a": "n1", "b": "n1"}
    assert rooms[0].kept is None


def test_nothing_is_kept_while_nobody_would_take_it() -> None:
    one = busy("n", 4)
    assert matched(behind(("same", LARGE)), [one]) == {}
    assert one.kept is None


def test_nothing_is_kept_before_a_pod_starves() -> None:
    one = busy("n", 4)
    assert matched(waiting(("large", LARGE, 0.0), ("small", shape())), [one], at=300.0) == {"small": "n"}


def test_nothing_is_kept_for_what_fits_in_no_room() -> None:
    one = busy("n", 4)
    assert matched(waiting(("huge", shape(9), LONG_AGO), ("small", shape())), [one]) == {"small": "n"}


def test_nothing_is_kept_where_only_a_port_is_missing() -> None:
    one = room()
    one.take("server", shape(ports=(80,)).demand, 0.0)
    queue = waiting(("other", shape(7, ports=(80,)), LONG_AGO), ("small", shape()))
    assert matched(queue, [one]) == {"small": "n"}
    assert one.kept is None


def test_one_for_each_partition_and_kind() -> None:
    rooms = [
        busy("m1", 4),
        busy("m2", 4),
        busy("o1", 4, partition="other"),
        busy("g1", 4, gpus=4),
        busy("g2", 4, gpus=4),
    ]
    queue = waiting(
        ("large", LARGE, LONG_AGO),
        ("also", shape(7), LONG_AGO),
        ("other", shape(8, partition="other"), LONG_AGO),
        ("gpus", shape(8, gpus=1), LONG_AGO),
        *((f"s{number}", shape(4)) for number in range(5)),
    )
    assert set(matched(queue, rooms).values()) == {"m2", "g2"}
    assert {each.nonce: each.kept.shape for each in rooms if each.kept} == {
        "m1": LARGE,
        "o1": shape(8, partition="other"),
        "g1": shape(8, gpus=1),
    }


def test_a_room_is_kept_for_one() -> None:
    one = busy("g", 4, gpus=4)
    gpus = shape(8, gpus=1)
    assert matched(waiting(("gpus", gpus, LONG_AGO), ("large", LARGE, LONG_AGO), ("small", shape())), [one]) == {}
    assert kept_for(one) == gpus


def test_one_for_each_owner_of_rooms() -> None:
    rooms = [busy("a", 4, owner="alice"), busy("b", 4, owner="bob")]
    queue = waiting(
        ("large", LARGE, LONG_AGO),
        ("small", shape()),
        ("bobs", shape(8, owner="bob"), LONG_AGO),
        ("bobs-small", shape(owner="bob")),
    )
    assert matched(queue, rooms) == {}
    assert [kept_for(each) for each in rooms] == [LARGE, shape(8, owner="bob")]


def test_the_higher_priority_enters_all_the_same() -> None:
    one = busy("n", 4)
    queue = behind(("equal", shape()))
    assert matched(queue, [one]) == {}
    queue.add("urgent", shape(priority=1), 5.0)
    assert matched(queue, [one], at=101.0) == {"urgent": "n"}
    assert kept_for(one) == LARGE


def test_who_starves_with_a_higher_priority_gets_the_next_one() -> None:
    one = busy("n", 4)
    queue = behind(("small", shape()))
    matched(queue, [one])
    queue.add("large-2", LARGE, LONG_AGO)
    queue.add("urgent", shape(8, memory=1, priority=1), LONG_AGO)
    one.give("in-n")
    assert matched(queue, [one], at=101.0) == {"urgent": "n"}


def test_as_soon_as_one_is_let_go_the_next_who_starves_has_one() -> None:
    rooms = [busy("n1", 4), busy("n2", 7)]
    queue = waiting(("large", shape(6), LONG_AGO), ("a", shape(1)), ("b", shape(1)))
    matched(queue, rooms)
    rooms[0].give("in-n1")
    urgent = shape(8, priority=1)
    queue.add("urgent", urgent, LONG_AGO)
    queue.add("urgent-small", shape(1, priority=1), 5.0)
    rooms[0].take("in-n1", shape(1).demand, 0.0)
    rooms[1].give("a")
    assert matched(queue, rooms, at=101.0) == {"urgent-small": "n2", "large": "n1"}
    assert kept_for(rooms[0]) == urgent


@pytest.mark.parametrize(
    ("kept", "enters"),
    [
        (shape(4, gpus=4), True),
        (shape(6, gpus=4), True),
        (shape(7, gpus=4), False),
        (shape(4, memory=7, gpus=4), True),
        (shape(4, memory=8, gpus=4), False),
        (shape(4, gpus=4, ports=(80,)), False),
    ],
    ids=repr,
)
def test_what_the_pod_does_not_need_others_may_have(kept: Shape, enters: bool) -> None:
    """It waits for GPUs."""
    one = room(gpus=4)
    one.take("x", shape(1, gpus=1).demand, 0.0)
    queue = waiting(("gpus", kept, LONG_AGO), ("small", shape(1, memory=1, ports=(80,))))
    assert matched(queue, [one]) == ({"small": "n"} if enters else {})
    assert kept_for(one) == kept


@pytest.mark.parametrize(
    ("small", "enters"),
    [
        (shape(walltime=379), True),
        (shape(walltime=369, grace=10.0), True),
        (shape(walltime=380), True),
        (shape(walltime=381), False),
        (shape(walltime=380, grace=1.0), False),
        (shape(), False),
    ],
    ids=repr,
)
def test_what_is_back_in_time_others_may_have(small: Shape, enters: bool) -> None:
    """The room's pod ends at 600 at the latest, now is 100, and the margin is 120."""
    one = room()
    one.take("x", shape(4, walltime=590, grace=10.0).demand, 0.0)
    assert matched(behind(("small", small)), [one]) == ({"small": "n"} if enters else {})


def test_nothing_is_sure_to_be_back_before_a_pod_that_outstays_its_time() -> None:
    one = room()
    one.take("x", shape(4, walltime=50).demand, 0.0)
    one.take("y", shape(2, walltime=5000).demand, 0.0)
    assert matched(behind(("small", shape(walltime=1))), [one]) == {}


def test_nothing_is_sure_to_be_back_before_a_pod_that_waits_for_a_port_too() -> None:
    one = room()
    one.take("x", shape(4, walltime=590, grace=10.0).demand, 0.0)
    one.take("server", shape(1, ports=(80,)).demand, 0.0)
    queue = waiting(("large", shape(7, ports=(80,)), LONG_AGO), ("small", shape(walltime=100)))
    assert matched(queue, [one]) == {}
    one.give("server")
    assert matched(queue, [one]) == {"small": "n"}


def test_a_pod_has_one_room_kept_wherever_it_may_go() -> None:
    rooms = [busy("m", 4), busy("o", 4, partition="other")]
    queue = behind(("a", shape()), ("b", shape(partition="other")))
    assert matched(queue, rooms) == {"a": "o", "b": "o"}
    queue.add("c", shape(partition="other"), 5.0)
    assert matched(queue, rooms, at=101.0) == {"c": "o"}
    assert [kept_for(each) for each in rooms] == [LARGE, None]


def test_who_could_have_no_room_in_time_keeps_none_from_one_who_could() -> None:
    one = busy("n", 4, ends_at=1000.0)
    queue = waiting(
        ("long", shape(8, walltime=5000), LONG_AGO),
        ("large", shape(8, walltime=60), LONG_AGO),
        ("small", shape(walltime=9)),
    )
    assert matched(queue, [one]) == {}
    assert kept_for(one) == shape(8, walltime=60)


def test_a_pod_that_outstays_its_time_is_expected_to_stay_as_long_again() -> None:
    rooms = [room("outstayed"), room("young")]
    rooms[0].take("x", shape(1, walltime=10).demand, -2000.0)
    rooms[1].take("y", shape(7, walltime=500).demand, 0.0)
    assert matched(behind(("small", shape())), rooms) == {"small": "outstayed"}
    assert kept_for(rooms[1]) == LARGE


def test_the_room_that_has_space_soonest_is_kept() -> None:
    rooms = [room("late"), room("soon"), room("whenever")]
    rooms[0].take("x", shape(1, walltime=3000).demand, 0.0)
    rooms[1].take("y", shape(6, walltime=2000).demand, 0.0)
    rooms[2].take("z", shape(1).demand, 0.0)
    assert matched(behind(("small", shape(2))), rooms) == {"small": "late"}
    assert kept_for(rooms[1]) == LARGE


def test_not_one_that_ends_too_early_for_it() -> None:
    rooms = [room("early", ends_at=1500.0), room("lasting", ends_at=9000.0)]
    rooms[0].take("x", shape(1, walltime=1000).demand, 0.0)
    rooms[1].take("y", shape(1, walltime=2000).demand, 0.0)
    large = shape(8, walltime=1000)
    queue = waiting(("large", large, LONG_AGO), ("small", shape(1, walltime=1200)))
    assert matched(queue, rooms) == {"small": "early"}
    assert [kept_for(each) for each in rooms] == [None, large]


def test_not_one_with_gpus_for_a_pod_without() -> None:
    rooms = [busy("gpus", 1, gpus=4), busy("cores", 7)]
    assert matched(behind(("small", shape())), rooms) == {"small": "gpus"}
    assert kept_for(rooms[1]) == LARGE


def test_a_room_that_comes_back_is_not_kept_besides_the_one_that_took_its_place() -> None:
    away, here = busy("away", 4), busy("here", 4)
    queue = behind(("a", shape()), ("b", shape()))
    assert matched(queue, [away]) == {}
    assert matched(queue, [here], at=101.0) == {}
    assert matched(queue, [here, away], at=102.0) == {"a": "away", "b": "away"}
    assert [kept_for(away), kept_for(here)] == [None, LARGE]


def test_a_room_is_kept_as_long_again_as_its_pod_waited_and_then_perhaps_another() -> None:
    """The server stays for ever, and it was not there long enough to be known for it."""
    rooms = [busy("server", 1), busy("batch", 7)]
    queue = behind(*((f"s{number}", shape()) for number in range(9)))
    matched(queue, rooms, at=3000.0)
    assert [kept_for(each) for each in rooms] == [LARGE, None]
    matched(queue, rooms, at=7000.0)
    assert [kept_for(each) for each in rooms] == [LARGE, None]
    rooms[1].give("s0")
    rooms[1].take("new", shape().demand, 7000.0)
    rooms[1].give("in-batch")
    matched(queue, rooms, at=7001.0)
    assert [kept_for(each) for each in rooms] == [None, LARGE]


def test_a_room_whose_time_is_too_short_by_now_is_let_go() -> None:
    one = busy("n", 4, ends_at=10_000.0)
    large = shape(8, walltime=5000)
    queue = waiting(("large", large, LONG_AGO), ("small", shape()))
    assert matched(queue, [one], at=4000.0) == {}
    assert kept_for(one) == large
    assert matched(queue, [one], at=5001.0) == {"small": "n"}
    assert one.kept is None
