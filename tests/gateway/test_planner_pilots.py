"""Pods and pilots through the planner, with the real machine and scheduler."""

from __future__ import annotations

import uuid
from dataclasses import replace

from farnode.gateway import stimuli as s
from farnode.gateway.machine import Machine
from farnode.gateway.planner import Planner
from farnode.gateway.records import Life, Stage
from farnode.gateway.usage import Usage
from farnode.model.allocation import AllocationState, Cause, Phase
from farnode.model.offer import GpuOffer, Offer
from tests.gateway.test_planner import PILOTS, planned, pod, step

MAIN = Offer("main", 16, 16 << 30, nodes=100, partition="main", default=True, accounts=("p1", "p2"))
GPU = Offer("gpu", 16, 16 << 30, nodes=10, partition="gpu", gpus=(GpuOffer("nvidia.com", "a100", 4),))
OFFERS = (MAIN, GPU)


def uid(number: int) -> str:
    return str(uuid.UUID(int=number))


def message(machine: Machine, number: int) -> str:
    return str(machine.pods[uid(number)].status["message"])


def asked(planner: Planner, machine: Machine, at: float) -> list[s.AllocationWanted]:
    return [one for one in step(planner, machine, at) if isinstance(one, s.AllocationWanted)]


def begin(machine: Machine, nonce: str, at: float, gpus: int = 0) -> None:
    capacity = {"gpus": [str(number) for number in range(gpus)], "runtimes": {"process": "1"}}
    machine.handle(s.AllocationSubmitted(at, nonce, nonce))
    machine.handle(s.RunnerConnected(at, nonce, f"i-{nonce}", "n1", None, capacity, []))


def bound(planner: Planner, machine: Machine, at: float) -> set[str]:
    return {one.uid for one in step(planner, machine, at) if isinstance(one, s.Bound)}


def finish(machine: Machine, nonce: str, number: int, seq: int, at: float) -> None:
    frame = {"seq": seq, "uid": uid(number), "attempt": 1, "at": at, "phase": "Succeeded", "ended": True}
    machine.handle(s.RunnerEvents(at, nonce, f"i-{nonce}", [{**frame, "containers": [], "init_containers": []}]))  # type: ignore[list-item]


def test_many_pods_share_an_array_of_pilots_and_each_begins_when_there_is_room() -> None:
    planner, machine = planned(*(pod(number) for number in range(1, 41)), offers=OFFERS, dedicated=False)
    assert asked(planner, machine, 0.01) == [], "those that come together are counted together"
    assert planner.wake_at is not None
    wanted = asked(planner, machine, 1.0)
    assert [one.request.nonce for one in wanted] == ["n0-0", "n0-1"], "two may queue at first"
    request = wanted[0].request
    assert (request.cores, request.account, request.walltime) == (16, "p1", PILOTS.walltime + 120)
    assert asked(planner, machine, 2.0) == []
    begin(machine, "n0-0", 3.0)
    assert len(bound(planner, machine, 3.1)) == 16
    begin(machine, "n0-1", 4.0)
    assert len(bound(planner, machine, 4.1)) == 16
    finish(machine, "n0-0", 1, 1, 5.0)
    assert len(bound(planner, machine, 5.1)) == 1
    assert all(entry.nonce in ("n0-0", "n0-1") for entry in machine.pods.values() if entry.stage is not Stage.QUEUED)


def test_owners_share_a_pilot_only_where_the_site_wants_it() -> None:
    for share in (False, True):
        planner, machine = planned(pod(1), offers=OFFERS, dedicated=False, share=share)
        machine.handle(s.Submitted(0.0, "bob", pod(2), "process"))
        wanted = asked(planner, machine, 1.0)
        assert [one.owner for one in wanted] == ([None] if share else ["alice", "bob"])
        for one in wanted:
            begin(machine, one.request.nonce, 2.0)
        assert bound(planner, machine, 3.0) == {uid(1), uid(2)}
        assert (machine.pods[uid(1)].nonce == machine.pods[uid(2)].nonce) is share


def test_a_pod_that_wants_its_own_allocation_gets_it_beside_the_pilots() -> None:
    planner, machine = planned(pod(1, dedicated="true"), pod(2), offers=OFFERS, dedicated=False)
    own, pilot = sorted(asked(planner, machine, 1.0), key=lambda one: one.pod is None)
    assert (own.pod, pilot.pod) == (uid(1), None)


def test_a_pilot_of_another_account_is_not_used() -> None:
    planner, machine = planned(pod(1, account="p2"), offers=OFFERS, dedicated=False)
    (wanted,) = asked(planner, machine, 1.0)
    begin(machine, wanted.request.nonce, 2.0)
    assert bound(planner, machine, 2.1) == {uid(1)}
    finish(machine, wanted.request.nonce, 1, 1, 3.0)
    machine.handle(s.Submitted(4.0, "alice", pod(2), "process"))
    (other,) = asked(planner, machine, 5.0)
    assert (wanted.request.account, other.request.account) == ("p2", "p1")


def test_gpus_are_counted_one_by_one() -> None:
    planner, machine = planned(*(pod(number, gpus=1) for number in range(1, 7)), offers=OFFERS, dedicated=False)
    wanted = asked(planner, machine, 1.0)
    assert [one.request.gpu.count if one.request.gpu else 0 for one in wanted] == [4, 4]
    begin(machine, wanted[0].request.nonce, 2.0, gpus=4)
    assert len(bound(planner, machine, 3.0)) == 4


def test_an_idle_pilot_is_drained_and_one_that_nobody_waits_for_is_withdrawn() -> None:
    planner, machine = planned(*(pod(number) for number in range(1, 33)), offers=OFFERS, dedicated=False)
    first, second = (one.request.nonce for one in asked(planner, machine, 1.0))
    begin(machine, first, 2.0)
    for number in range(1, 33):
        machine.handle(s.DeleteAsked(3.0, uid(number)))
    assert step(planner, machine, 4.0) == []
    drained = step(planner, machine, 4.0 + PILOTS.idle_after)
    assert {one.nonce for one in drained if isinstance(one, s.DrainAsked)} == {first, second}
    assert machine.allocations[first].draining
    assert machine.allocations[second].cancelled
    machine.handle(s.RunnerLeft(70.0, first, f"i-{first}"))
    assert machine.allocations[first].life is Life.ENDED, "its word is enough: nothing ran there"


def test_a_draining_pilot_takes_no_pods() -> None:
    planner, machine = planned(pod(1), offers=OFFERS, dedicated=False)
    (wanted,) = asked(planner, machine, 1.0)
    begin(machine, wanted.request.nonce, 2.0)
    machine.handle(s.DrainAsked(2.0, wanted.request.nonce, "enough"))
    (other,) = step(planner, machine, 3.0)
    assert isinstance(other, s.AllocationWanted), "another one is asked for"


def test_no_pod_begins_in_a_pilot_that_ends_before_it() -> None:
    planner, machine = planned(pod(1, walltime="3h"), offers=OFFERS, dedicated=False)
    (wanted,) = asked(planner, machine, 1.0)
    begin(machine, wanted.request.nonce, 2.0)
    assert bound(planner, machine, 2.0 + 2 * 3600) == set()
    assert bound(planner, machine, 2.0 + 0.5 * 3600) == {uid(1)}


def test_pods_hear_what_their_pilot_waits_for() -> None:
    planner, machine = planned(pod(1), offers=OFFERS, dedicated=False)
    (wanted,) = asked(planner, machine, 1.0)
    assert message(machine, 1) == "waiting for room in the pilots of main"
    nonce = wanted.request.nonce
    machine.handle(s.AllocationSubmitted(1.0, nonce, "17"))
    machine.handle(s.AllocationSeen(2.0, nonce, AllocationState(Phase.QUEUED, "17", words="the partition is down")))
    step(planner, machine, 3.0)
    assert message(machine, 1) == "waiting for a pilot of main (job 17): the partition is down"


def test_an_owner_whose_hours_are_spent_waits_with_words() -> None:
    planner, machine = planned(pod(1), pod(2, dedicated="true"), offers=OFFERS, dedicated=False, cap=0.5)
    assert asked(planner, machine, 1.0) == []
    for number in (1, 2):
        assert "alice has used 1.0 of 0.5 node-hours today" in message(machine, number)


def test_pods_are_bound_to_the_pilots_of_before_after_a_restart() -> None:
    planner, machine = planned(*(pod(number) for number in range(1, 21)), offers=OFFERS, dedicated=False)
    (first, _) = (one.request.nonce for one in asked(planner, machine, 1.0))
    begin(machine, first, 2.0)
    assert len(bound(planner, machine, 3.0)) == 16
    other, again = planned(offers=OFFERS, dedicated=False)
    again.load(machine.pods.values(), machine.bundles, machine.allocations.values(), 4.0)
    assert bound(other, again, 4.1) == set(), "it is full"
    finish(again, first, next(int(uuid.UUID(each)) for each in again.bound[first]), 1, 5.0)
    assert len(bound(other, again, 5.1)) == 1


def test_a_pilot_that_is_refused_for_now_is_asked_for_later_and_its_pods_hear_why() -> None:
    planner, machine = planned(pod(1), offers=OFFERS, dedicated=False)
    (first,) = asked(planner, machine, 1.0)
    machine.handle(s.AllocationRefused(2.0, first.request.nonce, "too many jobs", again=True))
    assert asked(planner, machine, 3.0) == []
    assert message(machine, 1) == "a pilot could not begin: too many jobs"
    (second,) = asked(planner, machine, 8.0)
    machine.handle(s.AllocationRefused(9.0, second.request.nonce, "too many jobs", again=True))
    assert asked(planner, machine, 15.0) == [], "each pause is twice the one before"
    assert len(asked(planner, machine, 19.5)) == 1


def test_pods_get_allocations_of_their_own_where_pilots_are_refused_for_good() -> None:
    planner, machine = planned(pod(1), pod(2), offers=OFFERS, dedicated=False)
    (pilot,) = asked(planner, machine, 1.0)
    machine.handle(s.AllocationRefused(2.0, pilot.request.nonce, "the QOS allows less time", again=False))
    assert asked(planner, machine, 3.0) == []
    own = asked(planner, machine, 3.2)
    assert {one.pod for one in own} == {uid(1), uid(2)}
    machine.handle(s.AllocationRefused(4.0, own[0].request.nonce, "the account has expired", again=False))
    assert machine.pods[own[0].pod or ""].status["message"] == "the account has expired"


def test_pods_wait_for_the_pilots_that_run_when_more_are_refused_for_good() -> None:
    planner, machine = planned(*(pod(number) for number in range(1, 41)), offers=OFFERS, dedicated=False)
    first, second = (one.request.nonce for one in asked(planner, machine, 1.0))
    begin(machine, first, 2.0)
    machine.handle(s.AllocationRefused(3.0, second, "the account's hours are spent", again=False))
    assert len(bound(planner, machine, 4.0)) == 16
    assert asked(planner, machine, 5.0) == []
    assert message(machine, 40) == "a pilot could not begin: the account's hours are spent"


def test_pilots_that_end_before_they_begin_are_asked_for_ever_more_seldom() -> None:
    planner, machine = planned(pod(1), offers=OFFERS, dedicated=False)
    at, times = 1.0, []
    while at < 2000.0:
        for one in asked(planner, machine, at):
            times.append(at)
            machine.handle(s.AllocationSubmitted(at, one.request.nonce, "7"))
            ended = AllocationState(Phase.ENDED, "7", cause=Cause.FAILED, words="no python there")
            machine.handle(s.AllocationSeen(at, one.request.nonce, ended))
            machine.handle(s.SpoolRead(at, one.request.nonce))
        at += 1.0
    assert len(times) == 12
    assert "no python there" in message(machine, 1)


def test_whoever_wants_any_gpu_gets_one_of_whatever_type() -> None:
    h100 = GpuOffer("nvidia.com", "h100", 4)
    offers = (GPU, replace(GPU, name="h100", gpus=(h100,)))
    planner, machine = planned(pod(1, gpus=1), pod(2, gpus=1, gpu_model="h100"), offers=offers, dedicated=False)
    anything, one_h100 = asked(planner, machine, 1.0)
    assert [one.request.gpu.model if one.request.gpu else None for one in (anything, one_h100)] == ["", "h100"]
    begin(machine, anything.request.nonce, 2.0, gpus=1)
    assert bound(planner, machine, 3.0) == {uid(1)}, "of an unknown type is no h100"
    begin(machine, one_h100.request.nonce, 4.0, gpus=1)
    assert bound(planner, machine, 5.0) == {uid(2)}


def test_a_refusal_is_not_forgotten_because_another_pilot_runs() -> None:
    planner, machine = planned(*(pod(number) for number in range(1, 65)), offers=OFFERS, dedicated=False)
    first, second = (one.request.nonce for one in asked(planner, machine, 1.0))
    begin(machine, first, 2.0)
    assert len(bound(planner, machine, 2.1)) == 16
    machine.handle(s.AllocationRefused(3.0, second, "too many jobs", again=True))
    assert asked(planner, machine, 3.1) == []
    finish(machine, first, 1, 1, 3.2)
    assert asked(planner, machine, 3.3) == [], "its record changed, but it had begun before"
    third, *_ = asked(planner, machine, 9.0)
    machine.handle(s.AllocationRefused(9.0, third.request.nonce, "too many jobs", again=True))
    assert asked(planner, machine, 15.0) == [], "the second pause is longer"


def test_pilots_that_are_refused_together_count_once() -> None:
    planner, machine = planned(*(pod(number) for number in range(1, 65)), offers=OFFERS, dedicated=False)
    for one in asked(planner, machine, 1.0):
        machine.handle(s.AllocationRefused(2.0, one.request.nonce, "too many jobs", again=True))
    assert asked(planner, machine, 6.5) == []
    assert len(asked(planner, machine, 7.5)) == 2


def test_a_pod_too_long_for_any_pilot_gets_an_allocation_of_its_own() -> None:
    """A pilot is older than its first pod, and may last no longer than the partition allows."""
    short = replace(MAIN, max_walltime=7200)
    planner, machine = planned(pod(1, walltime="2h"), pod(2), offers=(short,), dedicated=False)
    wanted = asked(planner, machine, 1.0)
    assert [(one.pod, one.request.walltime) for one in wanted] == [(uid(1), 7200), (None, 7200)]


def test_no_pod_begins_in_a_pilot_that_the_batch_system_calls_ended() -> None:
    planner, machine = planned(pod(1), offers=OFFERS, dedicated=False)
    (wanted,) = asked(planner, machine, 1.0)
    begin(machine, wanted.request.nonce, 2.0)
    ended = AllocationState(Phase.ENDED, wanted.request.nonce, cause=Cause.CANCELLED)
    machine.handle(s.AllocationSeen(2.5, wanted.request.nonce, ended))
    assert bound(planner, machine, 3.0) == set(), "its runner's link may outlive it for a moment"


def test_an_ended_pilot_of_a_drained_site_is_idle_no_longer() -> None:
    usage = Usage()
    planner, machine = planned(pod(1), offers=OFFERS, dedicated=False, usage=usage)
    (wanted,) = asked(planner, machine, 1.0)
    begin(machine, wanted.request.nonce, 2.0)
    assert bound(planner, machine, 2.0) == {uid(1)}
    finish(machine, wanted.request.nonce, 1, 1, 10.0)
    step(planner, machine, 10.0)
    planner.draining = True
    step(planner, machine, 10.0)
    machine.handle(s.RunnerLeft(11.0, wanted.request.nonce, f"i-{wanted.request.nonce}"))
    step(planner, machine, 11.0)
    assert usage.idle_by_owner(1000.0) == usage.idle_by_owner(11.0)


def test_offers_may_change_in_the_moment_in_which_a_pilot_goes() -> None:
    planner, machine = planned(pod(1), offers=OFFERS, dedicated=False)
    (wanted,) = asked(planner, machine, 1.0)
    nonce = wanted.request.nonce
    begin(machine, nonce, 2.0)
    assert bound(planner, machine, 2.0) == {uid(1)}
    finish(machine, nonce, 1, 1, 3.0)
    machine.handle(s.DeleteAsked(3.0, uid(1), purge=True))
    step(planner, machine, 3.0)
    machine.handle(s.RunnerLeft(4.0, nonce, f"i-{nonce}"))
    machine.handle(s.Tick(4.0))
    assert nonce not in machine.allocations
    planner.offers = (MAIN,)
    assert step(planner, machine, 4.0) == []


def test_a_pilot_that_drains_counts_until_it_has_ended() -> None:
    planner, machine = planned(pod(1), offers=OFFERS, dedicated=False)
    (wanted,) = asked(planner, machine, 1.0)
    begin(machine, wanted.request.nonce, 2.0)
    assert bound(planner, machine, 2.0) == {uid(1)}
    machine.handle(s.DrainAsked(2.0, wanted.request.nonce, "enough"))
    at = 3.0
    for number in range(2, 400):
        machine.handle(s.Submitted(at, "alice", pod(number), "process"))
    while at < 60.0:
        for one in asked(planner, machine, at):
            begin(machine, one.request.nonce, at)
        at += 1.0
    assert len(machine.allocations) == PILOTS.most
