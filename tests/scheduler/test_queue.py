from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farnode.scheduler.queue import Queue

from .samples import shape, waiting


def test_like_pods_stand_in_one_line_in_the_order_in_which_they_came() -> None:
    queue = waiting(("a", shape()), ("b", shape(2)), ("c", shape()))
    assert {line.shape: list(line.uids) for line in queue.lines()} == {shape(): ["a", "c"], shape(2): ["b"]}
    assert [(line.head, line.since, line.count) for line in queue.lines()] == [("a", 0.0, 2), ("b", 1.0, 1)]


def test_shapes_are_alike_when_all_that_the_scheduler_sees_is() -> None:
    assert shape() == shape()
    assert hash(shape()) == hash(shape())
    assert len({shape(), shape(owner="bob"), shape(2), shape(runtime="podman"), shape(priority=1)}) == 5


def test_a_pod_that_waits_already_keeps_its_place_and_its_shape() -> None:
    queue = waiting(("a", shape()), ("b", shape()))
    queue.add("a", shape(2), 7.0)
    assert [list(line.uids) for line in queue.lines()] == [["a", "b"]]


def test_a_pod_that_came_back_stands_where_its_waiting_puts_it() -> None:
    queue = waiting(("b", shape(), 2.0), ("d", shape(), 4.0))
    queue.add("c", shape(), 3.0)
    queue.add("a", shape(), 1.0)
    (line,) = queue.lines()
    assert (line.head, line.since, list(line.uids)) == ("a", 1.0, ["a", "b", "c", "d"])


def test_a_line_is_there_while_somebody_stands_in_it() -> None:
    queue = waiting(("a", shape()))
    queue.remove("a")
    queue.remove("a")
    assert not queue.lines()
    assert queue.line(shape()) is None
    assert len(queue) == 0
    assert "a" not in queue


@pytest.mark.parametrize("back", [False, True])
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 9)), max_size=40))
def test_it_is_what_a_sorted_list_would_be(back: bool, steps: list[tuple[int, int, int]]) -> None:
    queue, model = Queue(), dict[str, tuple[int, float]]()
    for number, (pod, kind, since) in enumerate(steps):
        uid = f"p{pod}"
        if uid in model:
            del model[uid]
            queue.remove(uid)
        else:
            model[uid] = (kind, float(since if back else number))
            queue.add(uid, shape(1 + kind), model[uid][1])
        assert len(queue) == len(model)
        assert all(uid in queue for uid in model)
        for line in queue.lines():
            kind = line.shape.demand.millicores // 1000 - 1
            stand = {uid: since for uid, (of, since) in model.items() if of == kind}
            assert set(line.uids) == stand.keys()
            assert [stand[uid] for uid in line.uids] == sorted(stand.values())
            assert line.since == min(stand.values())
        assert sum(line.count for line in queue.lines()) == len(model)
