"""Gangs: who starts together, what is asked for them, and what the end of one means for the others."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from farnode.gateway import stimuli as s
from farnode.gateway.allocations import GANG_PATIENCE
from farnode.gateway.gangs import gatherings, natural, peers, seats
from farnode.gateway.machine import Machine
from farnode.gateway.records import AllocationRecord, Life, PodRecord, Stage
from farnode.gateway.state import Rules
from farnode.gateway.store import decode, encode
from farnode.model.allocation import AllocationRequest, AllocationState, Cause, Phase
from farnode.model.bundle import Bundle, parse_bundle

RULES = Rules(fence_after=100.0, fence_margin=10.0, settle_after=5.0)
GPU = "nvidia.com/gpu"


def member(number: int, size: int = 3, policy: str = "Never", name: str = "", **more: Any) -> Bundle:
    """`more` are further annotations, but for `limits`."""
    limits = more.pop("limits", {})
    annotations = {"gang": "train", "gang-size": str(size), **{key.replace("_", "-"): v for key, v in more.items()}}
    container = {"name": "c", "image": "none", "command": ["true"], "resources": {"limits": limits}}
    metadata = {
        "name": name or f"w-{number}",
        "uid": uid(number),
        "annotations": {f"farnode.io/{key}": value for key, value in annotations.items()},
    }
    return parse_bundle({"pod": {"metadata": metadata, "spec": {"restartPolicy": policy, "containers": [container]}}})


def uid(number: int) -> str:
    return str(uuid.UUID(int=number + 1))


def machine(*bundles: Bundle) -> Machine:
    made = Machine(RULES)
    for bundle in bundles:
        made.handle(s.Submitted(0.0, "alice", bundle, "process"))
    return made


@dataclass
class Story:
    """A gang in one job, whose runners come when they are told to."""

    size: int = 3
    policy: str = "Never"
    failure: str = "stop"
    base: str = "b1"
    at: float = 1.0
    machine: Machine = field(init=False)
    seqs: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bundles = [member(i, self.size, self.policy, gang_failure=self.failure) for i in range(self.size)]
        self.machine = machine(*bundles)

    def ask(self) -> None:
        self.wanted = AllocationRequest(self.base, 1, 0, f"/spool/{self.base}")
        [gathering] = gatherings(self.machine, self.machine.queued, 3600.0)
        assert gathering.words == ""
        made = seats(self.wanted, lambda nonce: Path("/spool") / nonce, len(gathering.uids))
        for name, seat in zip(gathering.uids, made, strict=True):
            self.machine.handle(s.AllocationWanted(self.at, seat, "main", pod=name))
        for seat in made:
            self.machine.handle(s.AllocationSubmitted(self.at, seat.nonce, "7"))

    def come(self, *ranks: int) -> list[s.Effect]:
        return [effect for rank in ranks for effect in self.connect(rank)]

    def connect(self, rank: int, held: list[dict[str, Any]] | None = None) -> list[s.Effect]:
        nonce, capacity = f"{self.base}-{rank}", {"gpus": [], "address": f"10.0.0.{rank}"}
        return self.machine.handle(
            s.RunnerConnected(self.at, nonce, f"i{rank}", f"n{rank}", "7", capacity, held or [])  # type: ignore[arg-type]
        )

    def begin(self) -> list[s.Effect]:
        self.ask()
        return self.come(*range(self.size))

    def event(self, rank: int, **fields: Any) -> list[s.Effect]:
        nonce, pod = f"{self.base}-{rank}", self.pod(rank)
        seq = self.seqs[nonce] = self.seqs.get(nonce, 0) + 1
        frame = {"seq": seq, "uid": pod.uid, "attempt": pod.attempt, "at": self.at, "started_at": 1.0, **fields}
        return self.machine.handle(s.RunnerEvents(self.at, nonce, f"i{rank}", [frame]))  # type: ignore[list-item]

    def end(self, rank: int, phase: str, **fields: Any) -> list[s.Effect]:
        return self.event(rank, phase=phase, ended=True, **fields)

    def job_ends(self, cause: Cause = Cause.CANCELLED, words: str = "cancelled") -> None:
        state = AllocationState(Phase.ENDED, "7", cause, words=words)
        live = [nonce for nonce, record in self.machine.allocations.items() if record.life is not Life.ENDED]
        for nonce in live:
            self.machine.handle(s.AllocationSeen(self.at, nonce, state))
        for nonce in live:
            self.machine.handle(s.SpoolRead(self.at, nonce))

    def tick(self, seconds: float) -> list[s.Effect]:
        self.at += seconds
        return self.machine.handle(s.Tick(self.at))

    def pod(self, rank: int) -> PodRecord:
        return self.machine.pods[uid(rank)]

    @property
    def stages(self) -> set[Stage]:
        return {pod.stage for pod in self.machine.pods.values()}

    def seat(self, rank: int) -> AllocationRecord:
        return self.machine.allocations[f"{self.base}-{rank}"]

    @property
    def is_cancelled(self) -> bool:
        return all(record.cancelled for record in self.machine.allocations.values() if record.life is not Life.ENDED)


def starts(effects: list[s.Effect]) -> list[tuple[str, str]]:
    return [(effect.nonce, effect.uid) for effect in effects if isinstance(effect, s.StartPod)]


def stops(effects: list[s.Effect]) -> dict[str, str]:
    return {effect.uid: effect.reason for effect in effects if isinstance(effect, s.StopPod)}


# ---- who starts together ---------------------------------------------------------------------------------------------


def gathered(made: Machine) -> list[tuple[list[str], str]]:
    found = gatherings(made, made.queued, 3600.0)
    return [([made.bundles[each].pod.name for each in one.uids], one.words) for one in found]


def test_names_are_sorted_as_people_count() -> None:
    names = ["w-10", "w-9", "w", "w-9-a", "8", "a1b2"]
    assert sorted(names, key=natural) == ["8", "a1b2", "w", "w-9", "w-9-a", "w-10"]


def test_a_gang_waits_for_its_members() -> None:
    made = machine(member(2), member(0))
    assert gathered(made) == [(["w-0", "w-2"], "waiting for the other members of gang train: 2 of 3 are here")]
    made.handle(s.Submitted(0.0, "alice", member(1), "process"))
    assert gathered(made) == [(["w-0", "w-1", "w-2"], "")]


def test_members_are_of_one_owner_and_namespace_and_each_name_is_there_once() -> None:
    made = machine(member(0, 2), member(1, 2), member(2, 2, name="w-0"), member(3, 2, name="w-1"), member(4, 2))
    made.handle(s.Submitted(0.0, "bob", member(5, 2), "process"))
    assert gathered(made) == [
        (["w-0", "w-1"], ""),
        (["w-0", "w-1"], ""),
        (["w-4"], "waiting for the other members of gang train: 1 of 2 are here"),
        (["w-5"], "waiting for the other members of gang train: 1 of 2 are here"),
    ]


@pytest.mark.parametrize(
    ("bundles", "words"),
    [
        ([member(0, 2), member(1, 2, gang_failure="ignore")], "gang-failure"),
        ([member(0, 2, partition="a"), member(1, 2)], "partition"),
        ([member(0, 2, limits={GPU: 1}), member(1, 2, limits={"amd.com/gpu": 1})], "kind of GPU"),
    ],
)
def test_members_who_disagree_are_told(bundles: list[Bundle], words: str) -> None:
    assert gathered(machine(*bundles)) == [
        (["w-0", "w-1"], f"the members of gang train do not agree about their {words}")
    ]


def test_every_node_has_what_the_largest_member_needs() -> None:
    big = member(0, limits={GPU: 2, "cpu": "8", "memory": "1Gi"})
    made = machine(big, member(1, limits={"memory": "4Gi"}), member(2, walltime="10m"))
    [gathering] = gatherings(made, made.queued, 3600.0)
    demand = gathering.demand
    assert demand.gpu is not None
    assert (demand.millicores, demand.memory, demand.gpu.count, demand.nodes) == (8000, 4 << 30, 2, 3)
    assert demand.walltime == 3600, "the default of those that name none"


def test_seats_are_one_job() -> None:
    story = Story()
    story.ask()
    requests = [story.seat(rank).request for rank in range(3)]
    assert {(one.base, one.nodes, one.together, one.job_name) for one in requests} == {("b1", 3, True, "farnode-b1")}
    assert [one.directory for one in requests] == ["/spool/b1-0", "/spool/b1-1", "/spool/b1-2"]
    assert [story.seat(rank).pod for rank in range(3)] == [uid(rank) for rank in range(3)]


# ---- all or none -----------------------------------------------------------------------------------------------------


def test_none_begins_before_all_runners_have_come() -> None:
    story = Story()
    story.ask()
    effects = story.come(2, 0)
    assert story.stages == {Stage.PLACED}
    assert not starts(effects)
    assert not any(isinstance(effect, s.DrainRunner) for effect in effects), "a runner without pods would go"
    effects = story.come(1)
    assert starts(effects) == [(f"b1-{rank}", uid(rank)) for rank in range(3)]
    assert [effect.nonce for effect in effects if isinstance(effect, s.DrainRunner)] == ["b1-0", "b1-1", "b1-2"]


def test_members_know_each_other() -> None:
    story = Story()
    story.begin()
    found = peers(story.machine, story.pod(1))
    assert found is not None
    assert found.environment == {
        "FARNODE_GANG_RANK": "1",
        "FARNODE_GANG_SIZE": "3",
        "FARNODE_GANG_HOSTS": "n0,n1,n2",
        "FARNODE_GANG_ADDRESSES": "10.0.0.0,10.0.0.1,10.0.0.2",
    }
    assert found.aliases == (("10.0.0.0", "w-0"), ("10.0.0.1", "w-1"), ("10.0.0.2", "w-2"))


def test_the_batch_systems_list_of_nodes_is_not_a_seats() -> None:
    story = Story()
    story.begin()
    state = AllocationState(Phase.RUNNING, "7", nodes=("n0", "n1", "n2"))
    story.machine.handle(s.AllocationSeen(2.0, "b1-1", state))
    assert story.seat(1).nodes == ("n1",)


def test_a_job_that_ends_early_sends_all_back() -> None:
    story = Story()
    story.ask()
    story.come(0, 1)
    story.job_ends(words="cancelled by root")
    assert story.stages == {Stage.QUEUED}
    assert {pod.failures for pod in story.machine.pods.values()} == {1}
    assert "cancelled by root" in story.pod(2).status["message"]


def test_a_runner_that_does_not_come_sends_all_back() -> None:
    story = Story()
    story.ask()
    story.come(0, 2)
    assert not story.tick(GANG_PATIENCE - 1)
    assert story.tick(2.0) == [s.ReadSpool("b1-1")]
    story.machine.handle(s.SpoolRead(story.at, "b1-1", "no Python 3.9 or newer on n1"))
    assert story.stages == {Stage.QUEUED}
    assert {pod.failures for pod in story.machine.pods.values()} == {1}
    assert story.is_cancelled
    for rank in range(3):
        assert "no runner came from node 1 of its job" in story.pod(rank).status["message"]
        assert "no Python 3.9" in story.pod(rank).status["message"]
    assert not starts(story.come(1))
    story.base = "b2"
    assert len(starts(story.begin())) == 3


def test_after_a_restart_runners_have_time_to_come_again() -> None:
    story = Story()
    story.ask()
    story.come(0)
    old, story.machine, story.at = story.machine, Machine(RULES), story.at + 3600
    pods = [decode(PodRecord, encode(pod)) for pod in old.pods.values()]
    records = [decode(AllocationRecord, encode(record)) for record in old.allocations.values()]
    story.machine.load(pods, old.bundles, records, story.at)
    assert not story.tick(1.0)
    assert len(starts(story.come(1, 2))) == 3


def test_a_member_deleted_while_its_job_waits_sends_the_others_back() -> None:
    story = Story()
    story.ask()
    story.come(0)
    story.machine.handle(s.DeleteAsked(2.0, uid(1)))
    assert story.pod(1).stage is Stage.ENDED
    assert story.pod(0).stage is story.pod(2).stage is Stage.QUEUED
    assert story.pod(0).failures == 0
    assert story.is_cancelled
    assert "w-1 of its gang is gone" in story.pod(0).status["message"]
    [gathering] = gatherings(story.machine, story.machine.queued, 3600.0)
    assert gathering.words.endswith("2 of 3 are here")
    story.machine.handle(s.Submitted(3.0, "alice", member(7, name="w-1"), "process"))
    [gathering] = gatherings(story.machine, story.machine.queued, 3600.0)
    assert (gathering.uids, gathering.words) == ((uid(0), uid(7), uid(2)), "")


# ---- ends ------------------------------------------------------------------------------------------------------------


def test_a_member_that_fails_stops_the_others() -> None:
    story = Story()
    story.begin()
    story.end(0, "Succeeded")
    assert stops(story.end(1, "Failed")) == {uid(2): "GangMemberFailed"}
    words = story.pod(2).halted
    assert words == "member w-1 of gang train failed: it failed"
    assert stops(story.connect(2, [{"uid": uid(2), "attempt": 1, "ended": False}])) == {uid(2): "GangMemberFailed"}
    story.end(2, "Failed", reason="GangMemberFailed", message=words)
    assert [story.pod(rank).status["phase"] for rank in range(3)] == ["Succeeded", "Failed", "Failed"]
    assert story.pod(2).status["reason"] == "GangMemberFailed"


def test_a_member_that_fails_is_let_alone_where_the_gang_says_so() -> None:
    story = Story(failure="ignore")
    story.begin()
    assert not stops(story.end(1, "Failed"))
    assert story.pod(0).stage is story.pod(2).stage is Stage.BOUND


def test_a_member_that_was_deleted_stops_the_others() -> None:
    story = Story()
    story.begin()
    story.machine.handle(s.DeleteAsked(2.0, uid(0)))
    assert stops(story.end(0, "Failed")) == {uid(1): "GangMemberFailed", uid(2): "GangMemberFailed"}
    assert story.pod(1).halted == "member w-0 of gang train was deleted"


def test_a_member_whose_order_cannot_be_made_stops_the_others() -> None:
    story = Story()
    story.begin()
    effects = story.machine.handle(s.Unsendable(2.0, uid(0), "too large"))
    assert set(stops(effects)) == {uid(1), uid(2)}


def test_members_lost_with_their_job_start_again_together() -> None:
    story = Story(policy="OnFailure")
    story.begin()
    story.end(0, "Succeeded")
    story.job_ends(Cause.PREEMPTED)
    assert story.pod(1).stage is story.pod(2).stage is Stage.QUEUED
    story.tick(1.0)
    story.base = "b2"
    story.ask()
    assert story.seat(0).request.nodes == 2, "one has succeeded and stays so"
    assert len(starts(story.come(0, 1))) == 2
    assert story.pod(1).attempt == 2


def test_members_lost_for_good_keep_their_own_reason() -> None:
    story = Story()
    story.begin()
    story.job_ends(Cause.WALLTIME, "time is up")
    assert {pod.status["reason"] for pod in story.machine.pods.values()} == {"WalltimeExceeded"}


def test_a_node_that_is_not_heard_of_is_lost_after_the_fence() -> None:
    story = Story(policy="OnFailure")
    story.begin()
    for rank in (0, 1):
        story.machine.handle(s.RunnerHeard(story.at + 109, f"b1-{rank}"))
    assert s.ReadSpool("b1-2") not in story.tick(109)
    assert s.ReadSpool("b1-2") in story.tick(1)
    effects = story.machine.handle(s.SpoolRead(story.at, "b1-2"))
    assert s.CancelAllocation("b1-0") in effects, "the others start again with it"
    assert story.pod(2).stage is Stage.QUEUED
    [gathering] = gatherings(story.machine, story.machine.queued, 3600.0)
    assert gathering.words.endswith("1 of 3 are here")
    story.job_ends()
    assert story.stages == {Stage.QUEUED}
    assert not gatherings(story.machine, story.machine.queued, 3600.0)[0].words


def test_a_node_that_is_not_heard_of_ends_a_gang_that_does_not_restart() -> None:
    story = Story()
    story.begin()
    story.machine.handle(s.RunnerHeard(story.at + 110, "b1-0"))
    story.tick(111)
    effects = story.machine.handle(s.SpoolRead(story.at, "b1-2"))
    assert story.pod(2).status["reason"] == "RunnerLost"
    assert stops(effects)[uid(0)] == "GangMemberFailed"


def test_who_may_fail_alone_starts_again_alone() -> None:
    story = Story(policy="OnFailure", failure="ignore")
    story.begin()
    for rank in (0, 1):
        story.machine.handle(s.RunnerHeard(story.at + 111, f"b1-{rank}"))
    story.tick(111)
    effects = story.machine.handle(s.SpoolRead(story.at, "b1-2"))
    assert not any(isinstance(effect, s.CancelAllocation) for effect in effects)
    [gathering] = gatherings(story.machine, story.machine.queued, 3600.0)
    assert (gathering.uids, gathering.words, gathering.demand.nodes) == ((uid(2),), "", 1)


def test_a_port_taken_on_one_node_is_the_end_of_its_member() -> None:
    story = Story()
    story.begin()
    frame = {"seq": 1, "uid": uid(0), "attempt": 1, "at": 2.0, "phase": "Failed", "reason": "NodePorts", "ended": True}
    effects = story.machine.handle(s.RunnerEvents(2.0, "b1-0", "i0", [frame]))  # type: ignore[list-item]
    assert story.pod(0).stage is Stage.ENDED
    assert set(stops(effects)) == {uid(1), uid(2)}
