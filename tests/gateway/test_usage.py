"""What allocations cost, who is charged, and the cap; with the real machine."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farnode.gateway import stimuli as s
from farnode.gateway.ledger import Ledger
from farnode.gateway.machine import Machine
from farnode.gateway.records import AllocationRecord, Life, PodRecord, Stage
from farnode.gateway.state import Changed, Rules
from farnode.gateway.usage import NodeHours, Usage
from farnode.model.allocation import AllocationRequest, GpuRequest
from farnode.model.bundle import parse_bundle
from farnode.model.times import rfc3339

NOON = 20_000 * 86_400.0 + 43_200.0
"""Of 2024-10-04, UTC."""
DAY, BEFORE = "2024-10-04", "2024-10-03"
HOUR = 3600.0


def allocation(nonce: str, owner: str | None, started: float, **more: Any) -> AllocationRecord:
    request = AllocationRequest(nonce, cores=10, memory=100, directory="/", gpu=GpuRequest("nvidia.com", "a100", 4))
    life = Life.ENDED if "ended" in more else Life.RUNNING
    return AllocationRecord(request, "main", started, life=life, owner=owner, started=started, **more)


def ledger_of(machine: Machine, stored: Mapping[tuple[str, str], float] | None = None) -> Ledger:
    ledger = Ledger(machine)
    ledger.load([(owner, day, seconds) for (owner, day), seconds in (stored or {}).items()])
    return ledger


def machine_of(*records: AllocationRecord) -> Machine:
    machine = Machine(Rules())
    machine.load([], {}, records, NOON)
    return machine


def pod(machine: Machine, number: int, owner: str, nonce: str, started: float, ended: float, **requests: Any) -> str:
    uid = str(uuid.UUID(int=number))
    container = {"name": "main", "image": "b", "resources": {"limits": requests, "requests": requests}}
    bundle = parse_bundle({"pod": {"metadata": {"name": "p", "uid": uid}, "spec": {"containers": [container]}}})
    machine.handle(s.Submitted(started, owner, bundle, "process"))
    record = machine.pods[uid]
    status: Mapping[str, Any] = {**record.status, "startTime": rfc3339(started)}
    machine._save(replace(record, stage=Stage.ENDED, nonce=nonce, status=status, ended=ended))
    return uid


def end(machine: Machine, nonce: str, at: float) -> None:
    machine._store(replace(machine.allocations[nonce], life=Life.ENDED, ended=at))


# ---- idle time -------------------------------------------------------------------------------------------------------


def test_idle_time_is_what_pods_left_of_it() -> None:
    usage = Usage()
    usage.note("a", "alice", 0.0, 100.0)
    usage.note("b", None, 0.75, 100.0)
    assert sum(usage.idle_by_owner(110.0).values()) == pytest.approx(10.0 + 2.5)
    usage.note("a", "alice", 1.0, 110.0)
    usage.note("b", None, 0.75, 115.0)
    assert usage.idle_by_owner(120.0) == {"alice": pytest.approx(10.0), "shared": pytest.approx(5.0)}
    usage.end("a", 130.0)
    usage.end("b", 120.0)
    usage.end("b", 500.0)
    usage.end("unknown", 500.0)
    assert sum(usage.idle_by_owner(1000.0).values()) == pytest.approx(15.0)


def test_it_never_goes_down_whatever_it_is_told() -> None:
    usage, seen = Usage(), 0.0
    for step, load in enumerate((0.0, 1.5, -2.0, 0.5, 0.5)):
        usage.note("a", "alice", load, float(step))
        assert sum(usage.idle_by_owner(step + 0.5).values()) >= seen
        seen = sum(usage.idle_by_owner(step + 0.5).values())
    usage.end("a", 0.0)  # the past
    assert sum(usage.idle_by_owner(9.0).values()) >= 2.0


def test_since_when_one_is_idle() -> None:
    usage = Usage()
    assert usage.idle_since("a") is None
    usage.note("a", "alice", 0.0, 100.0)
    usage.note("a", "alice", 0.0, 105.0)
    assert usage.idle_since("a") == 100.0
    usage.note("a", "alice", 0.5, 110.0)
    assert usage.idle_since("a") is None
    usage.note("a", "alice", 0.0, 120.0)
    assert usage.idle_since("a") == 120.0


# ---- what is charged -------------------------------------------------------------------------------------------------


def test_an_owner_is_charged_once_in_the_days_in_which_it_ran() -> None:
    machine = machine_of(allocation("a", "alice", NOON - 86_400.0))
    ledger = ledger_of(machine)
    assert ledger.charge(Changed(allocations={"a"})) == []
    end(machine, "a", NOON)
    assert ledger.charge(Changed(allocations={"a"})) == [("alice", BEFORE, 43_200.0), ("alice", DAY, 43_200.0)]
    assert ledger.charge(Changed()) == []
    machine._remove_allocation(machine.allocations["a"])
    assert ledger.charge(Changed(allocations={"a"})) == []
    assert ledger.by_day == {("alice", BEFORE): 43_200.0, ("alice", DAY): 43_200.0}


def test_what_ends_and_is_forgotten_at_once_is_charged() -> None:
    machine = machine_of(allocation("a", "alice", NOON))
    ledger = ledger_of(machine)
    end(machine, "a", NOON + HOUR)
    machine.handle(s.Tick(NOON + HOUR))
    assert not machine.allocations
    assert ledger.charge(machine.take_changed()) == [("alice", DAY, HOUR)]


@pytest.mark.parametrize(("together", "nodes"), [(False, 4), (True, 1)])
def test_nodes_count(together: bool, nodes: int) -> None:
    record = allocation("a", "alice", NOON)
    machine = machine_of(replace(record, request=replace(record.request, nodes=4, together=together)))
    ledger = ledger_of(machine)
    hours = NodeHours(None, ledger)
    assert hours.spent_today("alice", NOON + HOUR) == pytest.approx(nodes)
    end(machine, "a", NOON + HOUR)
    assert ledger.charge(Changed(allocations={"a"})) == [("alice", DAY, nodes * HOUR)]


def test_an_allocation_that_never_ran_costs_nothing() -> None:
    machine = machine_of(replace(allocation("a", "alice", NOON), started=None, life=Life.ENDED, ended=NOON + 9))
    ledger = ledger_of(machine)
    assert ledger.charge(Changed(allocations={"a"})) == []
    assert NodeHours(None, ledger).today(NOON + 10) == {}


def test_a_shared_one_is_paid_by_the_owners_of_its_pods_and_the_rest_by_nobody() -> None:
    machine = machine_of(allocation("a", None, NOON))
    ledger = ledger_of(machine)
    half = pod(machine, 1, "alice", "a", NOON, NOON + HOUR, cpu="5")
    quarter = pod(machine, 2, "bob", "a", NOON, NOON + HOUR, cpu="1", **{"nvidia.com/gpu": 1})
    assert ledger.charge(Changed(pods={half})) == [("alice", DAY, 0.5 * HOUR)]
    end(machine, "a", NOON + 2 * HOUR)
    rows = ledger.charge(Changed(pods={quarter}, allocations={"a"}))
    assert rows == [("bob", DAY, 0.25 * HOUR), ("shared", DAY, 1.25 * HOUR)]
    assert sum(ledger.by_day.values()) == pytest.approx(2 * HOUR)
    assert ledger.charge(Changed(pods={half})) == []  # it changes no more in a way that costs


def test_what_was_charged_is_known_after_a_restart() -> None:
    machine = machine_of(allocation("a", None, NOON))
    before = ledger_of(machine)
    uid = pod(machine, 1, "alice", "a", NOON, NOON + HOUR, cpu="5")
    before.charge(Changed(pods={uid}))
    again = ledger_of(machine, before.by_day)
    end(machine, "a", NOON + HOUR)
    assert again.charge(Changed(allocations={"a"})) == [("shared", DAY, 0.5 * HOUR)]
    assert again.by_day == {("alice", DAY): 0.5 * HOUR, ("shared", DAY): 0.5 * HOUR}


def test_more_pods_than_a_node_has_charge_no_less_than_nothing() -> None:
    machine = machine_of(allocation("a", None, NOON))
    ledger = ledger_of(machine)
    uids = {pod(machine, number, "alice", "a", NOON, NOON + HOUR, cpu="100") for number in range(1, 4)}
    end(machine, "a", NOON + HOUR)
    rows = ledger.charge(Changed(pods=uids, allocations={"a"}))
    assert rows == [("alice", DAY, HOUR)] * 3 + [("shared", DAY, 0.0)]


# ---- the cap ---------------------------------------------------------------------------------------------------------


def test_the_cap_counts_what_ended_and_what_runs_today() -> None:
    stored = {("alice", DAY): 2 * HOUR, ("alice", BEFORE): 50 * HOUR, ("bob", DAY): HOUR}
    machine = machine_of(allocation("a", "alice", NOON - 20 * HOUR), allocation("b", "bob", NOON))
    hours = NodeHours(15.0, ledger_of(machine, stored))
    assert hours.may_ask("alice", NOON) is None
    assert hours.spent_today("alice", NOON) == pytest.approx(14.0)
    later = NOON + 1.2 * HOUR
    assert hours.may_ask("alice", later) == (
        "owner alice has used 15.2 of 15 node-hours today; new allocations begin after midnight UTC"
    )
    assert hours.may_ask("bob", later) is None
    assert hours.today(later) == {"alice": pytest.approx(15.2), "bob": pytest.approx(2.2)}
    midnight = NOON + 12 * HOUR
    assert hours.may_ask("alice", midnight + 1) is None
    assert hours.may_ask("carol", midnight + 1) is None


def test_without_a_cap_all_may_ask() -> None:
    hours = NodeHours(None, ledger_of(machine_of(), {("alice", DAY): 1e9}))
    assert hours.may_ask("alice", NOON) is None


def test_the_counter_never_goes_down() -> None:
    machine = machine_of(allocation("a", "alice", NOON - HOUR), allocation("b", None, NOON - HOUR))
    ledger = ledger_of(machine)
    hours = NodeHours(None, ledger)
    assert hours.seconds(NOON) == {"alice": HOUR, "shared": HOUR}
    end(machine, "a", NOON - 1)  # as is learned later, and stored later still
    assert hours.seconds(NOON + 2) == {"alice": HOUR + 2, "shared": HOUR + 2}
    ledger.charge(Changed(allocations={"a"}))
    uid = pod(machine, 1, "bob", "b", NOON - HOUR, NOON, cpu="5")
    ledger.charge(Changed(pods={uid}))
    end(machine, "b", NOON + 4)
    ledger.charge(Changed(allocations={"b"}))
    last = hours.seconds(NOON + 4)
    assert last == {"alice": HOUR + 2, "bob": HOUR / 2, "shared": HOUR + 2}


def test_nothing_is_missing_between_an_end_and_its_charge() -> None:
    machine = machine_of(allocation("a", "alice", NOON - HOUR))
    ledger = ledger_of(machine)
    hours = NodeHours(0.9, ledger)
    end(machine, "a", NOON)
    assert hours.may_ask("alice", NOON) is not None
    ledger.charge(machine.take_changed())
    assert hours.spent_today("alice", NOON) == pytest.approx(1.0)
    machine._store(replace(allocation("b", "alice", NOON), life=Life.RUNNING))
    ledger.charge(machine.take_changed())
    assert hours.spent_today("alice", NOON + HOUR) == pytest.approx(2.0)


def test_records_of_pods_that_never_started_are_charged_to_nobody() -> None:
    machine = machine_of(allocation("a", None, NOON))
    uid = pod(machine, 1, "alice", "a", NOON, NOON + HOUR, cpu="5")
    record: PodRecord = machine.pods[uid]
    machine.pods[uid] = replace(record, status={})
    assert ledger_of(machine).charge(Changed(pods={uid})) == []


@given(
    st.lists(st.tuples(st.floats(0, 3 * 86_400), st.floats(0, 3 * 86_400), st.integers(1, 4)), min_size=1, max_size=8)
)
def test_every_second_is_charged_to_its_day_whoever_ran(spans: list[tuple[float, float, int]]) -> None:
    records = [
        replace(one, request=replace(one.request, nodes=nodes))
        for number, (begin, _, nodes) in enumerate(spans)
        for one in [allocation(str(number), "alice" if number % 2 else None, NOON + begin)]
    ]
    machine = machine_of(*records)
    ledger = ledger_of(machine)
    for number, (begin, length, _) in enumerate(spans):
        end(machine, str(number), NOON + begin + length)
        ledger.charge(machine.take_changed())
    assert sum(ledger.by_day.values()) == pytest.approx(sum(length * nodes for _, length, nodes in spans), abs=1e-3)
    for (_, day), seconds in ledger.by_day.items():
        assert 0 <= seconds <= 86_400 * sum(nodes for _, _, nodes in spans), day
    assert not ledger.running
