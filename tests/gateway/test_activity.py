"""What people are told of a site: whose it is, what it is used for, what waits."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import replace
from typing import Any

from farnode.gateway import stimuli as s
from farnode.gateway.ledger import Ledger
from farnode.gateway.machine import Machine
from farnode.gateway.port import Caller
from farnode.gateway.records import Life, Stage
from farnode.gateway.site import GROUPS, NAMES, Activity
from farnode.gateway.state import Rules
from farnode.gateway.timings import Timings
from farnode.gateway.usage import NodeHours, Usage
from farnode.gateway.views import pod_details, pod_view
from farnode.model.allocation import AllocationRequest, AllocationState, GpuRequest, Phase
from farnode.model.bundle import parse_bundle
from farnode.model.demand import Gang
from farnode.providers.port import Calls
from farnode.scheduler.queue import Queue, Shape

ALICE, BOB, ADMIN = Caller("alice"), Caller("bob"), Caller("root", admin=True)
RESOURCES = {"limits": {"cpu": "500m", "memory": "1Mi", "nvidia.com/gpu": 1}}


class Lab:
    """A machine that tests fill."""

    def __init__(self, cap: float | None = None, calls: Calls | None = None) -> None:
        self.machine = Machine(Rules())
        self.queues = (Queue(), Queue())
        self.usage = Usage()
        self.ledger = Ledger(self.machine)
        hours = NodeHours(cap, self.ledger)
        self.activity = Activity(self.machine, self.queues, hours, self.usage, Timings(self.machine), lambda: calls)
        self._numbers = itertools.count(1)

    def pods(self, owner: str, count: int, at: float = 0.0) -> list[str]:
        return [self._pod(owner, number, at) for number in itertools.islice(self._numbers, count)]

    def _pod(self, owner: str, number: int, at: float) -> str:
        uid = str(uuid.UUID(int=number))
        container = {"name": "main", "image": "b", "resources": RESOURCES}
        document = {"metadata": {"name": f"p{number:05}", "uid": uid}, "spec": {"containers": [container]}}
        self.machine.handle(s.Submitted(at, owner, parse_bundle({"pod": document}), "process"))
        return uid

    def allocation(self, nonce: str, owner: str | None = None, pod: str | None = None, **more: Any) -> None:
        gpu = GpuRequest("nvidia.com", "a100", 4)
        request = AllocationRequest(nonce, cores=16, memory=1 << 30, directory="/", gpu=gpu, walltime=600, **more)
        self.machine.handle(s.AllocationWanted(5.0, request, "main", pod, owner))
        self.machine.handle(s.AllocationSubmitted(5.0, nonce, nonce))

    def run(self, nonce: str, *uids: str) -> None:
        self.machine.handle(
            s.RunnerConnected(10.0, nonce, "i", f"on-{nonce}", None, {"gpus": ["0", "1", "2", "3"]}, [])
        )
        for uid in uids:
            self.machine.handle(s.Bound(11.0, uid, nonce))
        self.ledger.charge(self.machine.take_changed())


def test_an_allocation_and_what_it_is_used_for() -> None:
    lab = Lab()
    lab.allocation("a", "alice")
    lab.run("a", *lab.pods("alice", 3))
    (view,) = lab.activity.allocations(ALICE, 20.0)
    assert view == {
        "nonce": "a",
        "kind": "pilot",
        "job": "a",
        "phase": "running",
        "offer": "main",
        "nodes": ["on-a"],
        "startedAt": 10.0,
        "walltime": 600,
        "askedAt": 5.0,
        "endsAt": 610.0,
        "owner": "alice",
        "pods": 3,
        "running": ["default/p00001", "default/p00002", "default/p00003"],
        "draining": False,
        "capacity": {"millicores": 16_000, "memory": 1 << 30, "gpus": 4},
        "used": {"millicores": 1500, "memory": 3 << 20, "gpus": 3},
    }


def test_kinds_and_states() -> None:
    lab = Lab()
    lab.allocation("a", pod=lab.pods("alice", 1)[0])
    lab.allocation("g-0", pod=lab.pods("alice", 1)[0], nodes=2, together=True)
    lab.allocation("p", "alice")
    lab.run("p")
    lab.usage.note("p", "alice", 0.0, 12.0)
    lab.machine.handle(s.DrainAsked(13.0, "p", "is idle"))
    views = {view["nonce"]: view for view in lab.activity.allocations(ALICE, 20.0)}
    assert {nonce: view["kind"] for nonce, view in views.items()} == {"a": "dedicated", "g-0": "gang", "p": "pilot"}
    assert (views["p"]["idleSeconds"], views["p"]["draining"]) == (8.0, True)
    assert "idleSeconds" not in views["a"]
    lab.machine._store(replace(lab.machine.allocations["p"], life=Life.ENDED))
    assert "p" not in {view["nonce"] for view in lab.activity.allocations(ALICE, 20.0)}


def test_what_one_waited_for_is_not_said_of_it_when_it_runs() -> None:
    lab = Lab()
    lab.allocation("a", "alice")
    full = AllocationState(Phase.QUEUED, job="a", reason="Resources", words="the partition is full", expected_start=9.0)
    lab.machine.handle(s.AllocationSeen(6.0, "a", full))
    (waiting,) = lab.activity.allocations(ALICE, 7.0)
    assert (waiting["words"], waiting["expectedStart"]) == ("the partition is full", 9.0)
    lab.run("a")
    (runs,) = lab.activity.allocations(ALICE, 20.0)
    assert not {"words", "reason", "expectedStart"} & runs.keys()


def test_everybody_sees_their_own_and_what_is_shared() -> None:
    lab = Lab(cap=5.0)
    for nonce, owner in (("a", "alice"), ("b", "bob"), ("c", None)):
        lab.allocation(nonce, owner)
        lab.run(nonce, *(uid for who in ("alice", "bob") if owner in (who, None) for uid in lab.pods(who, 2)))
    lab.pods("alice", 2)
    lab.pods("bob", 3)
    for caller, nonces, waiting, owners in (
        (ALICE, {"a", "c"}, 2, {"alice", "shared"}),
        (BOB, {"b", "c"}, 3, {"bob", "shared"}),
        (ADMIN, {"a", "b", "c"}, 5, {"alice", "bob", "shared"}),
    ):
        views = {view["nonce"]: view for view in lab.activity.allocations(caller, 20.0)}
        assert views.keys() == nonces
        assert views["c"]["pods"] == 4
        assert len(views["c"]["running"]) == (4 if caller.admin else 2)
        assert [group["pods"] for group in lab.activity.waiting(caller)] == [waiting]
        hours = lab.activity.node_hours(caller, 20.0)
        assert hours["today"].keys() == owners
        assert hours["cap"] == 5.0


def test_what_waits_for_the_same_is_one_group_whatever_its_batch_job() -> None:
    lab = Lab()
    for number, uid in enumerate(lab.pods("alice", 3, at=2.0)):
        lab.allocation(f"n{number}", pod=uid)
        full = AllocationState(Phase.QUEUED, job=f"n{number}", reason="Resources", words="the partition is full")
        lab.machine.handle(s.AllocationSeen(6.0, f"n{number}", full))
    lab.pods("alice", 4, at=1.0)
    assert lab.activity.waiting(ALICE) == [
        {"words": "waiting for room at the site", "pods": 4, "oldest": 1.0},
        {"words": "main: the partition is full", "pods": 3, "oldest": 2.0},
    ]


def test_a_line_waits_for_what_its_first_waits_for() -> None:
    lab = Lab()
    told, *others = lab.pods("alice", 300, at=2.0)
    lab.machine.handle(s.Unplaceable(3.0, told, "2 pilots are queued: main"))
    for number, uid in enumerate((told, *others)):
        lab.queues[0].add(uid, Shape("alice", lab.machine.demands[uid], "process"), 2.0 + number)
    lab.pods("alice", 2, at=9.0)
    assert lab.activity.waiting(ALICE) == [
        {"words": "2 pilots are queued: main", "pods": 300, "oldest": 2.0},
        {"words": "waiting for room at the site", "pods": 2, "oldest": 9.0},
    ]
    assert lab.activity.line(others[0]) == {"words": "2 pilots are queued: main", "pods": 300, "oldest": 2.0}
    assert lab.activity.line(str(uuid.UUID(int=301))) is None
    assert lab.activity.waiting(BOB) == []
    assert lab.activity.waiting(ADMIN) == lab.activity.waiting(ALICE)


def test_many_reasons_and_many_names_are_cut() -> None:
    lab = Lab()
    for uid in lab.pods("alice", GROUPS + 20):
        lab.machine.handle(s.Unplaceable(3.0, uid, f"reason {uid}"))
    groups = lab.activity.waiting(ALICE)
    assert len(groups) == GROUPS
    assert groups[-1] == {"words": "21 other reasons", "pods": 21, "oldest": 0.0}
    lab.allocation("a", "alice")
    lab.run("a", *lab.pods("alice", NAMES + 5))
    (view,) = lab.activity.allocations(ALICE, 20.0)
    assert (view["pods"], len(view["running"])) == (NAMES + 5, NAMES)


def test_calls_are_told_where_they_are_counted() -> None:
    assert Lab().activity.batch_calls() is None
    calls = Lab(calls=Calls(40, 4.0, 31.0, {"sbatch": 2}, 1)).activity.batch_calls()
    assert calls == {"burst": 40, "perMinute": 4.0, "left": 31.0, "made": {"sbatch": 2}, "waiting": 1}


def test_a_pod_is_told_of_its_gang_and_its_wait() -> None:
    lab = Lab()
    (uid,) = lab.pods("alice", 1, at=3.0)
    pod, bundle = lab.machine.pods[uid], lab.machine.bundles[uid]
    demand = replace(lab.machine.demands[uid], gang=Gang("default", "ring", 4, "ignore"))
    view = pod_details(pod_view(pod, bundle, None), pod, bundle, demand)
    assert view["gang"] == {"name": "ring", "size": 4, "failure": "ignore"}
    assert (view["queuedAt"], view["pod"]["metadata"]["uid"]) == (3.0, uid)
    bound = pod_details(pod_view(pod, bundle, None), replace(pod, stage=Stage.BOUND), bundle, lab.machine.demands[uid])
    assert not {"queuedAt", "gang"} & bound.keys()
