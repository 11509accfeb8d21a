"""Large pods among endless small ones."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from farnode.scheduler.matching import Terms

from .samples import room, shape
from .simulation import Pod, Simulation

FIRST = Pod("first", shape(), at=0.0, lasts=1.0)
TERMS = Terms(default_need=100.0, margin=0.0, starve_after=50.0)


def endless(seed: int, longest: float, declared: bool) -> Callable[[Simulation], None]:
    """Eight small pods wait from the beginning on, whenever the matcher is done."""
    chance, numbers = random.Random(seed), itertools.count()

    def small(at: float) -> Pod:
        lasts = chance.uniform(1, longest)
        walltime = 20 * math.ceil(lasts / 20) if declared and chance.random() < 0.7 else None
        gpus, owner = chance.choice([0, 0, 1]), chance.choice(["alice", "bob"])
        of = shape(chance.choice([1, 2]), gpus=gpus, owner=owner, walltime=walltime)
        return Pod(f"small-{next(numbers)}", of, at, lasts)

    def refill(simulation: Simulation) -> None:
        waiting = sum(line.count for line in simulation.queue.lines() if line.shape.demand.millicores < 3000)
        for _ in range(8 - waiting):
            simulation.submit(small(simulation.now + 0.1))

    return refill


LARGE = st.lists(
    st.tuples(
        st.sampled_from([(6, 0), (8, 0), (4, 4), (8, 3)]), st.sampled_from(["alice", "carol"]), st.floats(5, 100)
    ),
    min_size=1,
    max_size=6,
)


@given(st.integers(0, 2**32), LARGE, st.booleans(), st.floats(20, 40))
@settings(max_examples=15, deadline=None)
def test_every_large_pod_begins(
    seed: int, large: list[tuple[tuple[int, int], str, float]], declared: bool, longest: float
) -> None:
    """Each within the time that it takes to starve, and for each before it to run and for a room to empty."""
    rooms = [room("n1", gpus=4), room("n2", gpus=4), room("n3")]
    asked = [
        Pod(f"large-{number}", shape(cores, gpus=gpus, owner=owner), at, 20.0)
        for number, ((cores, gpus), owner, at) in enumerate(large)
    ]
    simulation = Simulation(rooms, [FIRST, *asked], TERMS, endless(seed, longest, declared))
    simulation.run(100 + TERMS.starve_after + (len(large) + 4) * (20 + longest))
    assert {pod.uid for pod in asked} <= simulation.began.keys()


@given(st.integers(0, 2**32), st.integers(1, 2), st.floats(20, 400))
@settings(max_examples=15, deadline=None)
def test_rooms_whose_pods_stay_for_ever_keep_it_from_the_others_only_for_a_while(
    seed: int, servers: int, longest: float
) -> None:
    """However much longer the small ones stay than a pod is taken to need."""
    rooms = [room("n1", gpus=4), room("n2"), room("n3")]
    staying = [Pod(f"server-{number}", shape(6), at=0.0, lasts=math.inf) for number in range(servers)]
    large = Pod("large", shape(8), at=5.0, lasts=20.0)
    simulation = Simulation(rooms, [FIRST, *staying, large], TERMS, endless(seed, longest, declared=False))
    for until in range(0, 10_000, 100):
        if "large" not in simulation.began:
            simulation.run(until)
    assert "large" in simulation.began


def test_without_a_room_that_is_kept_it_would_wait_for_ever() -> None:
    rooms = [room("n1", gpus=4), room("n2", gpus=4), room("n3")]
    patient = Terms(100.0, 0.0, starve_after=1e9)
    large = Pod("large", shape(8), at=5.0, lasts=20.0)
    simulation = Simulation(rooms, [FIRST, large], patient, endless(1, 40.0, declared=False))
    simulation.run(2000.0)
    assert "large" not in simulation.began


@given(st.integers(0, 2**32), st.integers(10, 200))
@settings(max_examples=15, deadline=None)
def test_who_enters_a_kept_room_does_not_delay_its_pod(seed: int, longest: int) -> None:
    """All say how long they run and keep to it: the large pod begins when the room that was kept first said it could,
    or before."""
    chance = random.Random(seed)
    small = [
        Pod(f"s{number}", shape(chance.choice([1, 2, 3]), walltime=lasts), number * 0.5, float(lasts))
        for number in range(1600)
        for lasts in [chance.choice([1, 10, 30, longest])]
    ]
    promised: list[float] = []

    def watch(at: Simulation) -> None:
        for each in at.rooms:
            if each.kept is not None and each.kept.shape == large.shape:
                ends = [taken.since + (taken.demand.walltime or 0) for taken in each.pods.values()]
                promised.append(max(ends))

    large = Pod("large", shape(8), 5.0, 1.0)
    simulation = Simulation([room("n1"), room("n2")], [large, *small], TERMS, watch)
    simulation.run(800.0)
    assert all(simulation.began["large"] <= first for first in promised[:1])
