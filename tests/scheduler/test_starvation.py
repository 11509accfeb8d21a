"""Large pods among endless small ones."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from farnode.scheduler.matching import Terms

from .samples import room, shape
from .simulation import Pod, Simulation

TERMS = Terms(default_need=100.0, margin=0.0, starve_after=50.0)


def stream(seed: int, until: float, each: float, longest: float, declared: bool) -> list[Pod]:
    """Small pods, one every so many seconds, more than the site has room for."""
    chance = random.Random(seed)
    pods = []
    for number in range(int(until / each)):
        lasts = chance.uniform(1, longest)
        small = shape(
            cores=chance.choice([1, 2]),
            gpus=chance.choice([0, 0, 1]),
            owner=chance.choice(["alice", "bob"]),
            walltime=int(lasts) + chance.randint(1, 30) if declared and chance.random() < 0.7 else None,
        )
        pods.append(Pod(f"small-{number}", small, at=number * each, lasts=lasts))
    return pods


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
    until = 100 + TERMS.starve_after + len(large) * (20 + longest + 31) + 31
    simulation = Simulation(rooms, asked + stream(seed, until, 0.4, longest, declared), TERMS)
    simulation.run(until)
    assert {pod.uid for pod in asked} <= simulation.began.keys()
    assert len(simulation.queue) > 0, "the small ones did not fill the site"


def test_without_a_room_kept_it_would_wait_for_ever() -> None:
    rooms = [room("n1", gpus=4), room("n2", gpus=4), room("n3")]
    pods = [Pod("large", shape(8), 5.0, 20.0), *stream(1, 2000.0, 0.4, 40.0, declared=False)]
    patient = Simulation(rooms, pods, Terms(100.0, 0.0, starve_after=1e9))
    patient.run(2000.0)
    assert "large" not in patient.began


@given(st.integers(0, 2**32), st.floats(10, 200))
@settings(max_examples=15, deadline=None)
def test_who_enters_a_kept_room_does_not_delay_its_pod(seed: int, longest: float) -> None:
    """All say how long they run and keep to it: the large pod begins when the room that was kept first said it could,
    or before."""
    chance = random.Random(seed)
    small = [
        Pod(f"s{number}", shape(chance.choice([1, 2, 3]), walltime=lasts), number * 0.5, float(lasts))
        for number in range(1600)
        for lasts in [chance.randint(1, int(longest))]
    ]
    promised: list[float] = []

    def watch(at: Simulation) -> None:
        for each in at.rooms:
            if each.kept == large.shape:
                ends = [taken.since + (taken.demand.walltime or 0) for taken in each.pods.values()]
                promised.append(max(ends))

    large = Pod("large", shape(8), 5.0, 1.0)
    simulation = Simulation([room("n1"), room("n2")], [large, *small], TERMS, watch)
    simulation.run(800.0)
    assert simulation.began["large"] <= promised[0]
