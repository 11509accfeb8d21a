"""What holds of any pods and rooms."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from farnode.model.gpu import fits
from farnode.scheduler.matching import match
from farnode.scheduler.queue import Queue, Shape
from farnode.scheduler.room import Room

from .samples import TERMS, room, shape
from .simulation import Pod, Simulation

OWNERS = st.sampled_from(["alice", "bob"])
SHAPES = st.builds(
    shape,
    cores=st.sampled_from([0.5, 1, 2, 4, 8]),
    memory=st.sampled_from([0, 1, 4]),
    gpus=st.sampled_from([0, 0, 1, 2, 4]),
    owner=OWNERS,
    walltime=st.sampled_from([None, 60, 600, 5000]),
    grace=st.sampled_from([0.0, 30.0]),
    partition=st.sampled_from([None, None, "main", "other"]),
    runtime=st.sampled_from(["process", "process", "podman"]),
    ports=st.sampled_from([(), (), (80,), (80, 443)]),
    priority=st.sampled_from([0, 0, 0, 7]),
)


@st.composite
def sites(draw: st.DrawFn) -> list[Room]:
    """Up to five rooms on up to three nodes."""
    nodes: defaultdict[int, dict[int, str]] = defaultdict(dict)
    rooms = []
    for number in range(draw(st.integers(1, 5))):
        node = draw(st.integers(0, 2))
        rooms.append(
            room(
                f"n{number}",
                owner=draw(st.sampled_from([None, "alice", "bob"])),
                partition=draw(st.sampled_from(["main", "other"])),
                millicores=draw(st.sampled_from([2000, 8000, 16_000])),
                gpus=draw(st.sampled_from([0, 0, 2, 4])),
                node=f"node{node}",
                ports=nodes[node],
                runtimes=frozenset(draw(st.sampled_from([("process",), ("process", "podman")]))),
                ends_at=draw(st.sampled_from([None, 1000.0, 6000.0])),
            )
        )
    return rooms


PODS = st.lists(st.tuples(SHAPES, st.floats(-900, 900)), max_size=40)


def fill(queue: Queue, pods: list[tuple[Shape, float]], prefix: str) -> None:
    for number, (each, since) in enumerate(sorted(pods, key=lambda pod: pod[1])):
        queue.add(f"{prefix}{number}", each, since)


def check_rooms(rooms: list[Room]) -> None:
    """Nothing is had twice, and what is free is what nobody has."""
    for each in rooms:
        demands = [taken.demand for taken in each.pods.values()]
        assert each.free_millicores == each.millicores - sum(demand.millicores for demand in demands) >= 0
        assert each.free_memory == each.memory - sum(demand.memory for demand in demands) >= 0
        assert each.free_gpus == each.gpus - sum(demand.gpu.count for demand in demands if demand.gpu) >= 0
    nodes = defaultdict(list)
    for each in rooms:
        nodes[each.node] += [port for taken in each.pods.values() for port in taken.demand.ports]
    for each in rooms:
        assert sorted(nodes[each.node]) == sorted(each.ports)


@given(sites(), PODS, PODS)
@settings(max_examples=150, deadline=None)
def test_what_holds_of_every_binding(
    rooms: list[Room], first: list[tuple[Shape, float]], then: list[tuple[Shape, float]]
) -> None:
    queue, by_nonce = Queue(), {each.nonce: each for each in rooms}
    shapes: dict[str, Shape] = {}
    for at, pods, prefix in ((0.0, first, "a"), (400.0, then, "b")):
        fill(queue, pods, prefix)
        before = {uid: line.shape for line in queue.lines() for uid in line.uids}
        shapes |= before
        bindings = match(queue, rooms, at, TERMS)
        check_rooms(rooms)
        bound = dict(bindings)
        assert len(bound) == len(bindings)
        left = {uid for line in queue.lines() for uid in line.uids}
        assert bound.keys() | left == before.keys()
        assert not bound.keys() & left
        for uid, nonce in bindings:
            check_binding(shapes[uid], by_nonce[nonce], at)
            assert by_nonce[nonce].pods[uid].since == at


def check_binding(of: Shape, into: Room, at: float) -> None:
    demand = of.demand
    assert into.owner in (None, of.owner)
    assert demand.partition in (None, into.partition)
    assert of.runtime in into.runtimes
    assert demand.gpu is None or (into.gpu is not None and fits(demand.gpu, into.gpu))
    lasts = demand.walltime or TERMS.default_need
    assert into.ends_at is None or at + lasts + demand.grace <= into.ends_at


@given(sites(), PODS, st.floats(0, 1000))
@settings(max_examples=150, deadline=None)
def test_nobody_waits_for_what_is_free_and_kept_for_nobody(
    rooms: list[Room], pods: list[tuple[Shape, float]], at: float
) -> None:
    queue = Queue()
    fill(queue, pods, "p")
    match(queue, rooms, at, TERMS)
    free = [each for each in rooms if each.kept is None]
    assert not [
        line.shape for line in queue.lines() if any(each.fits(line.shape, at, TERMS.default_need) for each in free)
    ]


@given(sites(), PODS)
@settings(max_examples=100, deadline=None)
def test_a_second_look_finds_nothing_more(rooms: list[Room], pods: list[tuple[Shape, float]]) -> None:
    queue = Queue()
    fill(queue, pods, "p")
    match(queue, rooms, 400.0, TERMS)
    kept = [each.kept for each in rooms]
    assert match(queue, rooms, 400.0, TERMS) == []
    assert [each.kept for each in rooms if each.kept] == [each for each in kept if each]


@given(sites(), SHAPES, st.lists(st.tuples(st.sampled_from([0, 1, 7]), st.floats(-900, 900)), max_size=40))
@settings(max_examples=100, deadline=None)
def test_of_like_pods_the_higher_priority_goes_first_and_then_the_older(
    rooms: list[Room], like: Shape, pods: list[tuple[int, float]]
) -> None:
    queue, rank = Queue(), dict[str, tuple[int, float]]()
    for number, (priority, since) in enumerate(pods):
        rank[f"p{number}"] = (-priority, since)
        queue.add(f"p{number}", Shape(like.owner, replace(like.demand, priority=priority), like.runtime), since)
    bound = [rank[uid] for uid, _ in match(queue, rooms, 100.0, TERMS)]
    assert bound == sorted(rank.values())[: len(bound)]


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
    st.lists(st.floats(1, 50), min_size=30, max_size=60),
    st.integers(2, 4),
)
@settings(max_examples=60, deadline=None)
def test_owners_who_ask_for_the_same_have_the_same(cores: list[int], lasts: list[float], owners: int) -> None:
    """One pod apart at most, while each of them has more waiting."""
    names = [f"owner{number}" for number in range(owners)]
    pods = [
        Pod(f"{name}-{number}", shape(owner=name), at=0.0, lasts=each)
        for name in names
        for number, each in enumerate(lasts)
    ]

    def watch(at: Simulation) -> None:
        wait = {line.shape.owner for line in at.queue.lines()}
        if len(wait) == owners:
            have = [at.in_use(name) for name in names]
            assert max(have) - min(have) <= 1

    site = [room(f"n{number}", millicores=1000 * count) for number, count in enumerate(cores)]
    simulation = Simulation(site, pods, TERMS, watch)
    simulation.run(until=1e9)
    assert len(simulation.began) == len(pods)
