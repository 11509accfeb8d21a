"""How many pilots are asked for and which are given back: examples, and what holds whatever comes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farnode.model.allocation import GpuRequest
from farnode.model.offer import GpuOffer, Offer
from farnode.scheduler.pilots import Load, Pilot, Place, Pool, Size, Terms, Wanted, nodes, unneeded, wanted, whole

GIB = 1 << 30
NODE = Size(16_000, 64 * GIB)
CPU = Pool("main", "alice", None, None, None)
GPU = Pool("gpu", "alice", None, None, ("nvidia.com", "a100"))
TERMS = Terms(most=16, first=4, idle_after=60.0, walltime=3600.0)
CORE = Size(1000, 0)
PLENTY = Place(NODE, 1000)
AT = 1000.0


def asked(count: int, *pilots: Pilot, each: Size = CORE, need: float = 60.0, terms: Terms = TERMS) -> list[Wanted]:
    return wanted([Load(CPU, each, count, need)], pilots, {CPU: PLENTY}, AT, terms)


def running(nonce: str, size: Size = NODE, used: Size | None = None, idle: float | None = None) -> Pilot:
    return Pilot(nonce, CPU, size, begun=True, used=used or Size(0, 0), idle_since=idle, since=0.0)


def queued(nonce: str, size: Size = NODE) -> Pilot:
    return Pilot(nonce, CPU, size, begun=False)


def test_little_that_waits_gets_a_pilot_of_its_size() -> None:
    assert asked(3) == [Wanted(CPU, Size(3000, 12 * GIB), 1, 3600.0)], "with its share of the memory"


def test_a_part_of_a_core_gets_a_whole_one() -> None:
    assert asked(3, each=Size(250, 0)) == [Wanted(CPU, Size(1000, 4 * GIB), 1, 3600.0)]


def test_much_gets_whole_nodes_but_no_more_than_may_queue_at_first() -> None:
    assert asked(40) == [Wanted(CPU, NODE, 3, 3600.0)]
    assert asked(4000) == [Wanted(CPU, NODE, TERMS.first, 3600.0)]


def test_more_may_queue_when_some_have_begun_and_never_more_than_the_site_allows() -> None:
    full = [running(f"r{number}", used=NODE) for number in range(3)]
    assert [one.count for one in asked(4000, *full)] == [TERMS.first + 2 * 3]
    full = [running(f"r{number}", used=NODE) for number in range(15)]
    assert [one.count for one in asked(4000, *full)] == [1]


def test_what_is_queued_counts() -> None:
    assert asked(16, queued("q")) == []
    assert asked(17, queued("q")) == [Wanted(CPU, NODE, 1, 3600.0)]


def test_pods_that_come_singly_need_few_pilots() -> None:
    """Each as large as all before it together."""
    pilots: list[Pilot] = []
    for number in range(100):
        free = sum(pilot.size.millicores for pilot in pilots) - 1000 * number
        if free < 1000:
            (one,) = asked(1, *pilots, terms=Terms(64, 64, 60.0, 3600.0))
            pilots.append(Pilot(f"p{number}", CPU, one.size, begun=True, used=one.size))
    assert [pilot.size.millicores for pilot in pilots[:6]] == [1000, 1000, 2000, 4000, 8000, 16_000]
    assert len(pilots) == 11


def test_gpus_are_asked_for_as_needed() -> None:
    each, node = Size(1000, GIB, 1), Size(16_000, 64 * GIB, 4)
    before = Pilot("g", GPU, each, begun=True, used=each)
    assert wanted([Load(GPU, each, 2, 60.0)], [before], {GPU: Place(node, 100)}, AT, TERMS) == [
        Wanted(GPU, Size(2000, 8 * GIB, 2), 1, 3600.0)
    ]
    assert wanted([Load(GPU, each, 9, 60.0)], [], {GPU: Place(node, 100)}, AT, TERMS) == [Wanted(GPU, node, 3, 3600.0)]


def test_pods_that_fill_a_node_get_one_each() -> None:
    assert asked(3, each=Size(9000, 0)) == [Wanted(CPU, NODE, 3, 3600.0)]


def test_a_pod_larger_than_the_sites_pilots_gets_one_of_its_size() -> None:
    small = Size(4000, 16 * GIB)
    assert wanted([Load(CPU, Size(8000, GIB), 1, 60.0)], [], {CPU: Place(small, 100)}, AT, TERMS) == [
        Wanted(CPU, Size(8000, 16 * GIB), 1, 3600.0)
    ]


def test_a_long_pod_gets_a_long_pilot() -> None:
    assert [one.walltime for one in asked(1, need=7200.0)] == [7200.0]


def test_the_accounts_limit_holds() -> None:
    load = Load(CPU, CORE, 1000, 60.0)
    assert [one.count for one in wanted([load], [], {CPU: Place(NODE, 100, jobs=2)}, AT, TERMS)] == [2]
    assert wanted([load], [], {CPU: Place(NODE, 100, jobs=0)}, AT, TERMS) == []


def test_no_more_than_there_are_nodes() -> None:
    load = Load(CPU, CORE, 1000, 60.0)
    assert [one.count for one in wanted([load], [], {CPU: Place(NODE, 2)}, AT, TERMS)] == [2]
    assert wanted([load], [running("a"), running("b")], {CPU: Place(NODE, 2)}, AT, TERMS) == []


def test_nothing_is_asked_for_where_nodes_have_gone_since() -> None:
    load, place = Load(CPU, CORE, 1000, 60.0), Place(NODE, 2)
    assert wanted([load], [running(f"r{number}", used=NODE) for number in range(3)], {CPU: place}, AT, TERMS) == []


def test_what_is_left_of_several_nodes_is_not_asked_of_one() -> None:
    fat = running("fat", Size(8000, 100 * GIB), used=Size(8000, 100 * GIB))
    (one,) = wanted([Load(CPU, Size(1000, GIB), 1000, 60.0)], [fat], {CPU: Place(NODE, 2)}, AT, TERMS)
    assert one == Wanted(CPU, Size(16_000, 28 * GIB), 1, 3600.0)


def test_a_small_pilot_on_the_only_node_leaves_the_rest_of_it() -> None:
    (one,) = wanted(
        [Load(CPU, CORE, 1000, 60.0)], [running("a", Size(1000, 4 * GIB), CORE)], {CPU: Place(NODE, 1)}, AT, TERMS
    )
    assert one == Wanted(CPU, Size(15_000, 60 * GIB), 1, 3600.0)


def test_pilots_that_will_have_served_all_before_long_are_enough() -> None:
    full, load = running("a", used=NODE), Load(CPU, CORE, 600, 60.0)
    assert wanted([load], [full], {CPU: Place(NODE, 100, rate=10.0)}, AT, TERMS) == []
    assert [one.count for one in wanted([load], [full], {CPU: Place(NODE, 100, rate=9.9)}, AT, TERMS)] == [6]


def test_a_pod_too_large_for_the_pilots_that_run_does_not_wait_for_the_others() -> None:
    small, place = running("a", CORE, CORE), Place(NODE, 100, rate=10.0)
    loads = [Load(CPU, CORE, 5, 60.0), Load(CPU, Size(8000, 0), 1, 60.0)]
    assert [one.size for one in wanted(loads, [small], {CPU: place}, AT, TERMS)] == [Size(8000, 32 * GIB)]


def test_a_pod_with_much_memory_and_few_cores_has_room_in_what_is_asked_for() -> None:
    loads = [Load(CPU, Size(2000, GIB), 100, 60.0), Load(CPU, Size(1000, 48 * GIB), 1, 60.0)]
    (one,) = wanted(loads, [], {CPU: Place(Size(4000, 16 * GIB), 100)}, AT, TERMS)
    assert all(one.size.holds(load.each) for load in loads)


def test_pilots_of_a_part_of_a_node_fill_its_nodes() -> None:
    quarter = Size(4000, 16 * GIB)
    place = Place(quarter, 1, node=NODE)
    mine = [running(f"r{number}", quarter, quarter) for number in range(3)]
    load = Load(CPU, CORE, 1000, 60.0)
    assert wanted([load], mine, {CPU: place}, AT, TERMS) == [Wanted(CPU, quarter, 1, 3600.0)]
    assert wanted([load], [*mine, running("r3", quarter, quarter)], {CPU: place}, AT, TERMS) == []


def test_the_accounts_limit_holds_for_all_pools_of_an_offer() -> None:
    bob = replace(CPU, owner="bob")
    loads = [Load(pool, CORE, 1000, 60.0) for pool in (CPU, bob)]
    place = Place(NODE, 100, jobs=3)
    assert sum(one.count for one in wanted(loads, [], {CPU: place, bob: place}, AT, TERMS)) == 3


def test_pilots_that_are_queued_elsewhere_keep_nobody_from_a_first_one() -> None:
    elsewhere = [Pilot(f"g{number}", GPU, NODE, begun=False) for number in range(TERMS.first)]
    assert [one.count for one in asked(1000, *elsewhere)] == [1]
    assert asked(1000, *elsewhere, queued("q")) == []
    assert asked(1000, *elsewhere, terms=replace(TERMS, most=TERMS.first)) == []


def test_a_pilot_that_has_just_begun_says_nothing_of_its_speed_yet() -> None:
    new = Pilot("a", CPU, NODE, begun=True, used=NODE, since=AT - 5)
    assert [one.count for one in asked(4000, new)] == [TERMS.first]


@given(
    st.lists(st.tuples(st.integers(1, 20_000), st.integers(0, 80 * GIB), st.integers(1, 5000)), min_size=1, max_size=8),
    st.lists(st.booleans(), max_size=20),
)
def test_never_more_than_the_site_allows(shapes: list[tuple[int, int, int]], begun: list[bool]) -> None:
    pilots = [running(f"p{i}", used=NODE) if each else queued(f"p{i}") for i, each in enumerate(begun)]
    loads = [Load(CPU, Size(cores, memory), count, 60.0) for cores, memory, count in shapes]
    new = wanted(loads, pilots, {CPU: PLENTY}, AT, TERMS)
    count = sum(one.count for one in new)
    assert count == 0 or len(pilots) + count <= TERMS.most
    assert count == 0 or begun.count(False) + count <= TERMS.first + 2 * begun.count(True)
    assert all(any(one.size.holds(load.each) for load in loads) for one in new), "what is asked for is of use"
    assert new or pilots, "somebody who waits with no pilot anywhere gets one"


# ---- given back --------------------------------------------------------------------------------------------------


def gone(*pilots: Pilot, at: float = 1000.0, quiet: float | None = None, hurry: bool = False) -> list[str]:
    return [nonce for nonce, _ in unneeded(pilots, {} if quiet is None else {CPU: quiet}, hurry, at, TERMS)]


def test_an_idle_pilot_is_given_back_after_a_while() -> None:
    assert gone(running("a", idle=950.0)) == []
    assert gone(running("a", idle=940.0)) == ["a"]


def test_an_idle_pilot_is_given_back_sooner_where_others_wait() -> None:
    assert gone(running("a", idle=991.0), hurry=True) == []
    assert gone(running("a", idle=990.0), hurry=True) == ["a"]


def test_an_idle_pilot_whose_time_is_too_short_for_anybody_goes_at_once() -> None:
    short = Pilot("a", CPU, NODE, begun=True, idle_since=999.0, ends_at=1100.0, least=200.0)
    assert gone(short) == ["a"]


def test_what_is_queued_is_withdrawn_when_nobody_has_waited_for_a_while() -> None:
    assert gone(queued("q")) == []
    assert gone(queued("q"), quiet=960.0) == []
    assert gone(queued("q"), quiet=900.0) == ["q"]


def test_the_emptiest_takes_no_more_pods_when_the_others_have_room_for_a_pilots_worth() -> None:
    half, little = Size(8000, 0), Size(2000, 0)
    pilots = [running("a", used=half), running("b", used=little), running("c", used=half)]
    assert gone(*pilots, quiet=960.0) == [], "a moment without waiting pods means nothing"
    assert gone(*pilots, quiet=900.0) == ["b"]
    assert gone(running("a", used=half), running("b", used=little), quiet=900.0) == []


def test_work_keeps_its_pilot() -> None:
    assert gone(running("a", used=CORE), quiet=0.0) == []


@pytest.mark.parametrize(("cores", "share"), [(None, NODE), (4, Size(4000, 16 * GIB)), (99, NODE)])
def test_the_largest_pilot_of_an_offer(cores: int | None, share: Size) -> None:
    assert whole(Offer("main", 16, 64 * GIB), cores, None) == share


def test_the_largest_pilot_with_gpus_has_all_of_a_node() -> None:
    offer = Offer("gpu", 16, 64 * GIB, gpus=(GpuOffer("nvidia.com", "a100", 4), GpuOffer("nvidia.com", "v100", 2)))
    assert whole(offer, None, GpuRequest("nvidia.com", "v100", 1)).gpus == 2


def test_the_nodes_of_a_partition_that_a_pilot_may_get() -> None:
    a100, v100 = GpuOffer("nvidia.com", "a100", 4), GpuOffer("nvidia.com", "v100", 2)
    small = Offer("small", 8, 32 * GIB, nodes=5, partition="main")
    first, second = (
        Offer(gpu.model, 16, 64 * GIB, nodes=count, partition="main", gpus=(gpu,))
        for gpu, count in ((a100, 2), (v100, 3))
    )
    other = Offer("other", 16, 64 * GIB, nodes=7, partition="other")
    offers = (small, first, second, other)
    assert nodes(first, offers, None) == 5
    assert nodes(small, offers, None) == 10
    assert nodes(second, offers, GpuRequest("nvidia.com", "v100", 1)) == 3


def test_any_gpu_may_be_on_any_node_that_has_as_many() -> None:
    a100, h100 = GpuOffer("nvidia.com", "a100", 4), GpuOffer("nvidia.com", "h100", 2)
    mixed = Offer("mixed", 16, 64 * GIB, partition="gpu", gpus=(replace(a100, count=2), h100))
    pure = Offer("pure", 16, 64 * GIB, partition="gpu", gpus=(a100,))
    anything = GpuRequest("nvidia.com", "", 1)
    assert whole(mixed, None, anything).gpus == whole(pure, None, anything).gpus == 4
    assert nodes(pure, (pure, mixed), anything) == 2
