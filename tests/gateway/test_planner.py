"""What the planner asks for, with the real machine and scheduler."""

from __future__ import annotations

import itertools
import uuid
from pathlib import Path
from typing import Any

from farnode.gateway import stimuli as s
from farnode.gateway.asking import Means, Policy
from farnode.gateway.ledger import Ledger
from farnode.gateway.machine import Machine
from farnode.gateway.planner import Planner
from farnode.gateway.records import Stage
from farnode.gateway.requests import Terms
from farnode.gateway.state import Rules
from farnode.gateway.usage import NodeHours, Usage
from farnode.model.allocation import AllocationState, Cause, Phase
from farnode.model.bundle import Bundle, parse_bundle
from farnode.model.offer import GpuOffer, Offer
from farnode.scheduler import pilots
from farnode.scheduler import terms as matching

TERMS = Terms("site", 3600.0, 120.0, {})
MATCHING = matching.Terms(3600.0, 120.0, 300.0)
PILOTS = pilots.Terms(most=8, first=2, idle_after=60.0, walltime=4 * 3600.0)
LOCAL = Offer("local", 4, 8 << 30, gpus=(GpuOffer("nvidia.com", "a100", 4),), standing=True)
MAIN = Offer("main", 16, 16 << 30, partition="main", default=True, max_walltime=7200, max_submit=2)
GPU = Offer("gpu", 16, 16 << 30, partition="gpu", gpus=(GpuOffer("nvidia.com", "a100", 4),), accounts=("p1", "p2"))


def pod(number: int, gpus: int = 0, **annotations: str) -> Bundle:
    limits = {"nvidia.com/gpu": gpus} if gpus else {}
    container = {"name": "c", "image": "busybox", "command": ["true"], "resources": {"limits": limits}}
    metadata = {
        "name": f"p{number}",
        "uid": str(uuid.UUID(int=number)),
        "annotations": {f"farnode.io/{key.replace('_', '-')}": value for key, value in annotations.items()},
    }
    return parse_bundle({"pod": {"metadata": metadata, "spec": {"restartPolicy": "Never", "containers": [container]}}})


def planned(
    *pods: Bundle,
    offers: tuple[Offer, ...],
    share: bool = True,
    dedicated: bool = True,
    cap: float | None = None,
    usage: Usage | None = None,
) -> tuple[Planner, Machine]:
    machine = Machine(Rules())
    numbers = itertools.count()
    policy = Policy(share, MATCHING, PILOTS, dedicated)
    ledger = Ledger(machine)
    ledger.by_day["alice", "1970-01-01"] = 3600.0
    hours = NodeHours(cap, ledger)
    means = Means(TERMS, policy, lambda nonce: Path("/spool") / nonce, lambda: f"n{next(numbers)}", hours)
    planner = Planner(machine, means, usage or Usage())
    planner.offers = offers
    for bundle in pods:
        machine.handle(s.Submitted(0.0, "alice", bundle, "process"))
    return planner, machine


def step(planner: Planner, machine: Machine, at: float, connected: bool = True) -> list[s.Stimulus]:
    stimuli = []
    for stimulus in planner.plan(at, lambda _: connected):
        machine.handle(stimulus)
        stimuli.append(stimulus)
    return stimuli


def test_one_allocation_the_size_of_each_pod_up_to_the_accounts_limit() -> None:
    planner, machine = planned(*(pod(number) for number in range(1, 4)), offers=(MAIN,))
    wanted = [stimulus for stimulus in step(planner, machine, 1.0) if isinstance(stimulus, s.AllocationWanted)]
    assert [one.request.walltime for one in wanted] == [3600 + 30 + 120] * 2
    assert [one.request.nonce for one in wanted] == ["n0-0", "n0-1"], "asked for at once"
    assert wanted[0].request.environment["FARNODE_ALLOCATION"] == "/spool/n0-0"
    assert "2 batch jobs" in machine.pods[str(uuid.UUID(int=3))].status["message"]


def test_a_pod_with_gpus_goes_where_they_are_with_an_account_of_that_place() -> None:
    planner, machine = planned(pod(1, gpus=2, gpu_model="a100"), offers=(MAIN, GPU))
    (wanted,) = step(planner, machine, 1.0)
    assert isinstance(wanted, s.AllocationWanted)
    request = wanted.request
    assert (request.partition, request.account) == ("gpu", "p1")
    assert request.gpu is not None
    assert (request.gpu.model, request.gpu.count) == ("a100", 2)


def test_walltime_is_never_more_than_the_partition_gives() -> None:
    planner, machine = planned(pod(1, walltime="2h"), offers=(MAIN,))
    (wanted,) = step(planner, machine, 1.0)
    assert isinstance(wanted, s.AllocationWanted)
    assert wanted.request.walltime == 7200


def test_what_fits_nowhere_waits_with_words() -> None:
    planner, machine = planned(pod(1, gpus=8), offers=(MAIN, GPU))
    step(planner, machine, 1.0)
    message = machine.pods[str(uuid.UUID(int=1))].status["message"]
    assert "needs 8 x nvidia.com/gpu on one node, a node has 4 x a100" in message


def test_pods_share_a_standing_allocation_and_queue_for_its_gpus() -> None:
    planner, machine = planned(*(pod(number, gpus=3) for number in (1, 2)), offers=(LOCAL,))
    (wanted,) = step(planner, machine, 1.0)
    assert isinstance(wanted, s.AllocationWanted)
    nonce = wanted.request.nonce
    machine.handle(s.RunnerConnected(2.0, nonce, "i", "h", None, {"gpus": ["0", "1", "2", "3"]}, []))
    assert [type(one) for one in step(planner, machine, 3.0)] == [s.Bound]
    assert [entry.stage for entry in machine.pods.values()] == [Stage.BOUND, Stage.QUEUED]


def test_a_standing_allocation_that_ends_at_once_for_days_is_asked_for_each_minute() -> None:
    planner, machine = planned(offers=(LOCAL,))
    at, asked = 0.0, 0
    while asked < 1100:
        for stimulus in step(planner, machine, at):
            assert isinstance(stimulus, s.AllocationWanted)
            asked += 1
            machine.handle(s.AllocationRefused(at, stimulus.request.nonce, "no", False))
        at += 60.0
    assert at <= 1120 * 60.0


def test_a_drained_site_lets_its_standing_allocation_go_when_the_last_pod_has_ended() -> None:
    planner, machine = planned(offers=(LOCAL,))
    step(planner, machine, 1.0)
    planner.draining = True
    assert [type(one) for one in step(planner, machine, 2.0)] == [s.StopAll]
    assert step(planner, machine, 3.0) == []


def node(planner: Planner, machine: Machine, nonce: str, host: str) -> None:
    machine.handle(s.RunnerConnected(2.0, nonce, f"i-{nonce}", host, None, {"gpus": []}, []))


def test_two_pods_that_claim_a_port_never_share_a_node() -> None:
    planner, machine = planned(*(web(number) for number in (1, 2, 3)), offers=(LOCAL,))
    (wanted,) = step(planner, machine, 1.0)
    assert isinstance(wanted, s.AllocationWanted)
    node(planner, machine, wanted.request.nonce, "n1")
    assert [type(one) for one in step(planner, machine, 3.0)] == [s.Bound]
    assert [entry.stage for entry in machine.pods.values()] == [Stage.BOUND, Stage.QUEUED, Stage.QUEUED]


def test_a_port_is_claimed_on_its_node_and_not_in_its_allocation() -> None:
    planner, machine = planned(web(1), offers=(MAIN,))
    (wanted,) = step(planner, machine, 1.0)
    assert isinstance(wanted, s.AllocationWanted)
    node(planner, machine, wanted.request.nonce, "n1.cluster.example")
    assert machine.pods[str(uuid.UUID(int=1))].stage is Stage.BOUND
    planner.offers = (LOCAL,)
    (other,) = step(planner, machine, 3.0)
    assert isinstance(other, s.AllocationWanted)
    node(planner, machine, other.request.nonce, "n1")
    for bundle in (web(2), pod(3)):
        machine.handle(s.Submitted(4.0, "alice", bundle, "process"))
    assert [one.uid for one in step(planner, machine, 5.0) if isinstance(one, s.Bound)] == [str(uuid.UUID(int=3))]


def web(number: int) -> Bundle:
    bundle = pod(number)
    container = {"name": "c", "image": "busybox", "command": ["true"], "ports": [{"containerPort": 8080}]}
    document = bundle.document["pod"]
    return parse_bundle({"pod": {**document, "spec": {**document["spec"], "containers": [container]}}})


def test_a_pod_whose_port_is_taken_on_its_node_is_tried_elsewhere_later() -> None:
    planner, machine = planned(web(1), offers=(MAIN,))
    (wanted,) = step(planner, machine, 1.0)
    assert isinstance(wanted, s.AllocationWanted)
    queued = machine.pods[str(uuid.UUID(int=1))].queued
    node(planner, machine, wanted.request.nonce, "n1")
    words = "Pod was rejected: Node didn't have enough free ports for the requested pod ports"
    frame = {"seq": 1, "uid": str(uuid.UUID(int=1)), "attempt": 1, "at": 3.0, "phase": "Failed", "ended": True}
    refused: Any = {**frame, "reason": "NodePorts", "message": words, "containers": [], "init_containers": []}
    machine.handle(s.RunnerEvents(3.0, wanted.request.nonce, f"i-{wanted.request.nonce}", [refused]))
    handed_back = machine.pods[str(uuid.UUID(int=1))]
    assert handed_back.queued == queued, "its queue-timeout goes on"
    assert (handed_back.stage, handed_back.nonce, handed_back.refusals) == (Stage.QUEUED, None, 1)
    assert (handed_back.status["phase"], handed_back.status["message"]) == ("Pending", words)
    assert [type(one) for one in step(planner, machine, 4.0)] == []
    (again,) = step(planner, machine, 9.0)
    assert isinstance(again, s.AllocationWanted)
    assert again.request.nonce != wanted.request.nonce


def test_a_port_is_free_when_its_pod_and_allocation_are_gone_at_once() -> None:
    planner, machine = planned(web(1), offers=(LOCAL,))
    (wanted,) = step(planner, machine, 1.0)
    assert isinstance(wanted, s.AllocationWanted)
    first = wanted.request.nonce
    node(planner, machine, first, "n1")
    assert [type(one) for one in step(planner, machine, 2.0)] == [s.Bound]
    machine.handle(s.DeleteAsked(3.0, str(uuid.UUID(int=1)), purge=True))
    machine.handle(s.AllocationSeen(4.0, first, AllocationState(Phase.ENDED, cause=Cause.CANCELLED)))
    machine.handle(s.SpoolRead(4.0, first))
    machine.handle(s.Tick(4.0))
    assert (machine.pods, machine.allocations) == ({}, {})
    machine.handle(s.Submitted(5.0, "alice", web(2), "process"))
    (again,) = step(planner, machine, 100.0)
    assert isinstance(again, s.AllocationWanted)
    node(planner, machine, again.request.nonce, "n1")
    assert [type(one) for one in step(planner, machine, 101.0)] == [s.Bound]


def test_a_pod_that_ends_before_the_planner_looks_again_leaves_its_room() -> None:
    gpu_pods = [pod(number, gpus=4) for number in (1, 2, 3)]
    planner, machine = planned(*gpu_pods, offers=(LOCAL,))
    (wanted,) = step(planner, machine, 1.0)
    assert isinstance(wanted, s.AllocationWanted)
    nonce = wanted.request.nonce
    machine.handle(s.RunnerConnected(2.0, nonce, "i", "h", None, {"gpus": ["0", "1", "2", "3"]}, []))
    for number in (1, 2, 3):
        (bound,) = step(planner, machine, 2.0 + number)
        assert isinstance(bound, s.Bound)
        frame = {"seq": number, "uid": bound.uid, "attempt": 1, "at": 2.5, "phase": "Succeeded", "ended": True}
        ended: Any = {**frame, "reason": "", "message": "", "containers": [], "init_containers": []}
        machine.handle(s.RunnerEvents(2.5 + number, nonce, "i", [ended]))
    assert all(entry.stage is Stage.ENDED for entry in machine.pods.values())
