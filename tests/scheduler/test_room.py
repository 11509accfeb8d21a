from __future__ import annotations

from typing import Any

import pytest

from farnode.model.demand import GpuDemand
from farnode.scheduler.queue import Shape

from .samples import GIB, room, shape


def test_what_pods_take_they_give_back() -> None:
    one = room(gpus=4)
    demand = shape(2, memory=3, gpus=1, ports=(80, 443)).demand
    for _ in range(2):
        one.take("a", demand, 5.0, "alice")
    assert (one.free_millicores, one.free_memory, one.free_gpus) == (6000, 5 * GIB, 3)
    assert one.ports == {80: "a", 443: "a"}
    assert one.pods["a"].since == 5.0
    for _ in range(2):
        one.give("a")
    assert (one.free_millicores, one.free_memory, one.free_gpus) == (8000, 8 * GIB, 4)
    assert not one.ports
    assert not one.pods
    assert not one.used


def test_its_load_is_that_of_what_it_has_least_left_of() -> None:
    one = room(gpus=4)
    assert one.load == 0
    one.take("a", shape(1, memory=6, gpus=2).demand, 0.0)
    assert one.load == 0.75
    one.take("b", shape(30).demand, 0.0)
    assert one.load == 1


def test_a_room_without_memory_of_its_own_has_a_load_too() -> None:
    one = room(memory=0)
    one.take("a", shape(4).demand, 0.0)
    assert one.load == 0.5


def test_a_pod_that_names_no_account_or_qos_is_charged_to_no_other() -> None:
    assert not room(qos="high").could_fit(shape())
    assert not room(account="p1").could_fit(shape())


def test_ports_are_a_nodes() -> None:
    ports: dict[int, str] = {}
    one, other = room("n1", ports=ports), room("n2", ports=ports)
    one.take("a", shape(ports=(80,)).demand, 0.0)
    assert not other.fits(shape(ports=(80, 81)), 0.0, 60.0)
    assert other.fits(shape(ports=(81,)), 0.0, 60.0)
    one.give("a")
    assert other.fits(shape(ports=(80, 81)), 0.0, 60.0)


def test_a_port_that_another_has_by_now_is_not_given_back() -> None:
    one = room()
    one.take("a", shape(ports=(80,)).demand, 0.0)
    one.ports[80] = "dedicated"
    one.give("a")
    assert one.ports == {80: "dedicated"}


@pytest.mark.parametrize(
    "unfit",
    [
        shape(9),
        shape(memory=9),
        shape(gpus=5),
        shape(gpu=GpuDemand("amd.com/gpu", 1)),
        shape(gpu=GpuDemand("nvidia.com/gpu", 1, model="h100")),
        shape(gpu=GpuDemand("nvidia.com/gpu", 1, memory=80 * GIB)),
        shape(gpu=GpuDemand("nvidia.com/mig-1g.10gb", 1)),
        shape(partition="other"),
        shape(account="p2"),
        shape(qos="high"),
        shape(runtime="podman"),
        shape(owner="bob"),
    ],
    ids=repr,
)
def test_what_would_not_fit_if_it_were_empty(unfit: Shape) -> None:
    one = room(gpus=4, owner="alice")
    assert not one.could_fit(unfit)
    assert not one.fits(unfit, 0.0, 60.0)


@pytest.mark.parametrize("given", [{}, {"partition": "main", "account": "p1", "qos": "normal"}, {"gpus": 4}])
def test_what_would_fit_if_it_were_empty_and_fits_while_there_is_space(given: dict[str, Any]) -> None:
    one, pod = (
        room(gpus=4, owner="alice", account=given.get("account"), qos=given.get("qos")),
        shape(8, memory=8, **given),
    )
    assert one.could_fit(pod)
    assert one.fits(pod, 0.0, 60.0)
    one.take("a", shape(0.001).demand, 0.0)
    assert one.could_fit(pod)
    assert not one.fits(pod, 0.0, 60.0)


@pytest.mark.parametrize(
    ("pod", "fits"),
    [
        (shape(walltime=100), True),
        (shape(walltime=101), False),
        (shape(walltime=70, grace=30.0), True),
        (shape(walltime=71, grace=30.0), False),
        (shape(), True),
        (shape(grace=41.0), False),
    ],
)
def test_a_pod_needs_its_time_and_its_grace_before_the_end(pod: Shape, fits: bool) -> None:
    assert room(ends_at=200.0).fits(pod, 100.0, 60.0) is fits
    assert room().fits(pod, 100.0, 60.0)


def test_a_pod_that_does_not_say_how_long_it_runs_is_taken_to_need_less_where_all_is_short() -> None:
    assert not room(ends_at=200.0).fits(shape(), 100.0, 3600.0)
    assert room(ends_at=200.0, default_need=100.0).fits(shape(), 100.0, 3600.0)
    assert not room(ends_at=200.0, default_need=100.0).fits(shape(walltime=101), 100.0, 3600.0)
