"""The machine under arbitrary histories: late, doubled and missing messages, crashes of every process.

The world around the machine is a small honest model of a batch system and its runners (`Job`), not a fake of any class
of ours; hypothesis drives both, and the invariants are the promises of the machine's docstring.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from farnode.gateway import stimuli as s
from farnode.gateway.attempts import ALLOCATION_ENDING
from farnode.gateway.gangs import gatherings, seats
from farnode.gateway.machine import Machine
from farnode.gateway.records import AllocationRecord, Life, PodRecord, Stage
from farnode.gateway.state import Rules
from farnode.gateway.store import decode, encode
from farnode.model.allocation import AllocationRequest, AllocationState, Cause, Phase, base_of
from farnode.model.bundle import Bundle, parse_bundle
from farnode.model.image import Image

RULES = Rules(fence_after=100.0, fence_margin=10.0, settle_after=5.0, max_attempts=3, retention=500.0)

PODS = 4
"""Few, so that much happens to each."""
POLICIES = st.sampled_from(["Never", "OnFailure", "Always"])
GANG = 3
"""Members of a gang; there is one at a time."""


def bundle(uid: str, policy: str, name: str = "p", annotations: dict[str, str] | None = None) -> Bundle:
    container = {"name": "c", "image": "busybox", "command": ["true"]}
    spec = {"restartPolicy": policy, "containers": [container]}
    metadata = {"name": name, "uid": uid, "annotations": annotations or {}}
    return parse_bundle({"pod": {"metadata": metadata, "spec": spec}})


def member(uid: str, rank: int, policy: str, failure: str) -> Bundle:
    said = {"gang": "g", "gang-size": str(GANG), "gang-failure": failure}
    return bundle(uid, policy, f"g-{rank}", {f"farnode.io/{name}": value for name, value in said.items()})


@dataclass
class Job:
    """What really is at the site: a batch job and the runner in it, or one of its nodes and the runner there."""

    nonce: str
    phase: Phase = Phase.QUEUED
    cause: Cause | None = None
    fenced: bool = True
    runner: bool = False
    connected: bool = False
    drained: bool = False
    seq: int = 0
    acked: int = 0
    attempts: dict[tuple[str, int], str] = field(default_factory=dict)
    """running | ended"""
    journal: list[dict[str, Any]] = field(default_factory=list)

    def emit(self, uid: str, attempt: int, **fields: Any) -> None:
        self.seq += 1
        self.journal.append({"seq": self.seq, "uid": uid, "attempt": attempt, "at": 0.0, **fields})

    def alive(self) -> set[tuple[str, int]]:
        return {key for key, state in self.attempts.items() if state == "running"} if self.runner else set()


class World(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.machine = Machine(RULES)
        self.jobs: dict[str, Job] = {}
        self.started: set[tuple[str, int]] = set()
        self.terminal: dict[str, str] = {}
        self.policies: dict[str, str] = {}
        self.cancelled: set[str] = set()
        self.pending: list[s.Effect] = []
        self.members: list[str] = []
        self.begun: dict[str, set[str]] = {}

    # ---- effects happen in the world -----------------------------------------------------------------------------

    def tell(self, stimulus: s.Stimulus) -> None:
        for effect in self.machine.handle(stimulus):
            self.perform(effect)
        self.check_terminal()
        self.check_gangs()

    def perform(self, effect: s.Effect) -> None:
        job = self.jobs.get(getattr(effect, "nonce", None) or "")
        if isinstance(effect, s.StartPod) and self.machine.allocations[effect.nonce].request.together:
            self.begun.setdefault(base_of(effect.nonce), set()).add(effect.nonce)
        match effect:
            case s.DrainRunner() if job and job.connected:
                job.drained = True
            case s.StartPod(_, uid) if job and job.connected:
                pod = self.machine.pods[uid]
                key = (uid, pod.attempt)
                if key not in job.attempts:  # a runner leaves alone what it knows
                    assert key not in self.started, f"attempt {key} starts twice"
                    self.started.add(key)
                    job.attempts[key] = "running"
                    job.emit(*key, phase="Running", started_at=0.0)
            case s.StopPod(_, uid, attempt, _, reason, _) if job and job.connected:
                if job.attempts.get((uid, attempt)) == "running":
                    job.attempts[uid, attempt] = "ended"
                    job.emit(uid, attempt, phase="Failed", reason=reason, started_at=0.0, ended=True)
                elif (uid, attempt) not in job.attempts:
                    job.attempts[uid, attempt] = "ended"
                    job.emit(uid, attempt, phase="Failed", ended=True)
            case s.AckEvents(_, seq) if job and job.connected:
                job.acked = max(job.acked, seq)
            case s.CancelAllocation(nonce):
                self.cancelled.add(nonce)
            case s.FetchImages() | s.SubmitAllocation() | s.ReadSpool():
                self.pending.append(effect)

    def check_terminal(self) -> None:
        for uid, pod in self.machine.pods.items():
            if pod.stage is Stage.ENDED:
                phase = str(pod.status["phase"])
                assert phase in ("Succeeded", "Failed")
                assert self.terminal.setdefault(uid, phase) == phase, "a second terminal status"

    def check_gangs(self) -> None:
        for base, begun in self.begun.items():
            assert begun == {job.nonce for job in self.of(base)}, f"of the gang in {base} only {begun} begin"

    def gang_lives(self) -> bool:
        pods = self.machine.pods
        return any(pods[uid].stage is not Stage.ENDED for uid in self.members if uid in pods)

    def of(self, base: str) -> list[Job]:
        """The nodes of a gang's job, or the one of another."""
        return [job for job in self.jobs.values() if base_of(job.nonce) == base]

    # ---- what users and the gateway's own tasks do ---------------------------------------------------------------

    @precondition(lambda self: len(self.policies) < PODS)
    @rule(policy=POLICIES)
    def submit(self, policy: str) -> None:
        uid = str(uuid.UUID(int=len(self.policies) + 1))
        self.policies[uid] = policy
        self.tell(s.Submitted(self.now, "alice", bundle(uid, policy), "apptainer"))

    @precondition(
        lambda self: all(self.machine.pods[u].stage is Stage.ENDED for u in self.members if u in self.machine.pods)
    )
    @rule(
        policy=st.sampled_from(["Never", "OnFailure"]), failure=st.sampled_from(["stop", "ignore"]), fine=st.booleans()
    )
    def submit_gang(self, policy: str, failure: str, fine: bool) -> None:
        """`fine`: it comes to its start."""
        first = len(self.members) + 100
        uids = [str(uuid.UUID(int=first + rank)) for rank in range(GANG)]
        self.members += uids
        for rank, uid in enumerate(uids):
            self.tell(s.Submitted(self.now, "alice", member(uid, rank, policy, failure), "apptainer"))
            self.tell(s.ImagesReady(self.now, uid, (Image("busybox"),)))
        if fine:
            self.start_gang()

    @rule()
    def start_gang(self) -> None:
        """A gang that waits comes to its start, if nothing is in its way."""
        before = set(self.jobs)
        self.ask_gang()
        for job in [job for nonce, job in self.jobs.items() if nonce not in before]:
            job.phase, job.runner = Phase.RUNNING, True
            self.tell(s.AllocationSubmitted(self.now, job.nonce, f"j{base_of(job.nonce)}"))
            self.greet(job)

    @rule()
    def ask_gang(self) -> None:
        waiting = [uid for uid in self.machine.queued if self.machine.demands[uid].gang is not None]
        for gathering in gatherings(self.machine, waiting, 3600.0):
            if gathering.words:
                continue
            base = f"n{len(self.jobs)}"
            whole = AllocationRequest(base, 1, 0, f"/spool/{base}")
            requests = seats(whole, lambda nonce: Path("/spool") / nonce, len(gathering.uids))
            for request in requests:
                self.jobs[request.nonce] = Job(request.nonce, Phase.ABSENT)
            for uid, request in zip(gathering.uids, requests, strict=True):
                self.tell(s.AllocationWanted(self.now, request, "main", pod=uid))

    @rule(data=st.data())
    def submit_again(self, data: st.DataObject) -> None:
        if self.machine.pods:
            uid = data.draw(st.sampled_from(sorted(self.machine.pods)))
            before = self.machine.pods[uid]
            self.tell(s.Submitted(self.now, "alice", bundle(uid, "Never"), "apptainer"))
            assert self.machine.pods[uid] == before

    @rule(data=st.data(), grace=st.sampled_from([None, 0.0, 30.0]), purge=st.booleans())
    def delete(self, data: st.DataObject, grace: float | None, purge: bool) -> None:
        if self.machine.pods:
            uid = data.draw(st.sampled_from(sorted(self.machine.pods)))
            self.tell(s.DeleteAsked(self.now, uid, grace, purge))

    @rule(data=st.data(), fine=st.booleans())
    def images(self, data: st.DataObject, fine: bool) -> None:
        waiting = sorted(uid for uid, pod in self.machine.pods.items() if pod.stage is Stage.IMAGES)
        if waiting:
            uid = data.draw(st.sampled_from(waiting))
            if fine:
                self.tell(s.ImagesReady(self.now, uid, (Image("busybox"),)))
            else:
                self.tell(s.ImagesFailed(self.now, uid, "busybox", "ErrImagePull", "no", self.now + 10))

    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        if waiting := self.alone():
            uid = data.draw(st.sampled_from(waiting))
            nonce = f"n{len(self.jobs)}"
            self.jobs[nonce] = Job(nonce, Phase.ABSENT)
            request = AllocationRequest(nonce, 1, 0, f"/spool/{nonce}")
            self.tell(s.AllocationWanted(self.now, request, "main", pod=uid))

    def alone(self) -> list[str]:
        return sorted(uid for uid in self.machine.queued if self.machine.demands[uid].gang is None)

    @rule()
    def ask_standing(self) -> None:
        if sum(job.phase is not Phase.ENDED for job in self.jobs.values()) < 6:
            nonce = f"n{len(self.jobs)}"
            self.jobs[nonce] = Job(nonce, Phase.ABSENT)
            self.tell(s.AllocationWanted(self.now, AllocationRequest(nonce, 4, 0, f"/spool/{nonce}"), "local"))

    @rule(data=st.data())
    def bind(self, data: st.DataObject) -> None:
        rooms = [n for n, a in self.machine.allocations.items() if a.pod is None and a.life is Life.RUNNING]
        waiting = self.alone()
        if waiting and rooms:
            uid = data.draw(st.sampled_from(waiting))
            self.tell(s.Bound(self.now, uid, data.draw(st.sampled_from(sorted(rooms)))))

    @precondition(lambda self: len(self.policies) < PODS)
    @rule(policy=POLICIES)
    def submit_and_start(self, policy: str) -> None:
        """The way of a pod when nothing goes wrong, so that histories get beyond it."""
        self.submit(policy)
        uid, nonce = str(uuid.UUID(int=len(self.policies))), f"n{len(self.jobs)}"
        self.tell(s.ImagesReady(self.now, uid, (Image("busybox"),)))
        job = self.jobs[nonce] = Job(nonce, Phase.RUNNING, runner=True, connected=True)
        self.tell(s.AllocationWanted(self.now, AllocationRequest(nonce, 1, 0, f"/spool/{nonce}"), "main", pod=uid))
        self.tell(s.AllocationSubmitted(self.now, nonce, f"j{nonce}"))
        self.tell(s.RunnerConnected(self.now, nonce, f"i{nonce}", "n1", None, {"gpus": []}, []))
        assert job.alive() == {(uid, 1)}

    @rule(data=st.data(), outcome=st.sampled_from(["id", "unclear", "lost", "refused", "later"]))
    def submission(self, data: st.DataObject, outcome: str) -> None:
        wanted = sorted(n for n, a in self.machine.allocations.items() if a.life is Life.WANTED)
        if not wanted:
            return
        base = base_of(data.draw(st.sampled_from(wanted)))
        for job in self.of(base):
            if outcome in ("id", "unclear") and job.phase is Phase.ABSENT:
                job.phase = Phase.QUEUED
            if outcome == "id" and job.phase is not Phase.ABSENT:
                self.tell(s.AllocationSubmitted(self.now, job.nonce, f"j{base}"))
            elif outcome in ("unclear", "lost"):
                self.tell(s.AllocationSubmitted(self.now, job.nonce, None))
            elif outcome in ("refused", "later") and job.phase is Phase.ABSENT:
                self.tell(s.AllocationRefused(self.now, job.nonce, "no", outcome == "later"))

    # ---- what happens at the site --------------------------------------------------------------------------------

    def pick(self, data: st.DataObject, *phases: Phase) -> Job | None:
        jobs = sorted(job.nonce for job in self.jobs.values() if job.phase in phases)
        return self.jobs[data.draw(st.sampled_from(jobs))] if jobs else None

    @rule(data=st.data())
    def job_starts(self, data: st.DataObject) -> None:
        if picked := self.pick(data, Phase.QUEUED):
            for job in self.of(base_of(picked.nonce)):
                job.phase, job.runner = Phase.RUNNING, True

    @rule(data=st.data())
    def node_dies(self, data: st.DataObject) -> None:
        """One of several: the job goes on without it."""
        if (job := self.pick(data, Phase.RUNNING)) and job.nonce != base_of(job.nonce):
            job.runner = job.connected = False

    @rule(data=st.data())
    def runner_leaves(self, data: st.DataObject) -> None:
        """It was drained, has nothing to do and nothing to tell."""
        idle = [j for j in self.jobs.values() if j.connected and j.drained and not j.alive() and j.acked == j.seq]
        if idle:
            job = data.draw(st.sampled_from(sorted(idle, key=lambda job: job.nonce)))
            self.tell(s.RunnerLeft(self.now, job.nonce, f"i{job.nonce}"))
            job.runner = job.connected = False
            others = self.of(base_of(job.nonce))
            if not any(other.runner for other in others):
                for other in others:
                    other.phase, other.cause, other.fenced = Phase.ENDED, Cause.COMPLETED, True

    @rule(data=st.data())
    def connect(self, data: st.DataObject) -> None:
        jobs = [job for job in self.jobs.values() if job.runner and job.phase is not Phase.ABSENT]
        if not jobs:
            return
        self.greet(data.draw(st.sampled_from(jobs)))

    def greet(self, job: Job) -> None:
        allocation = self.machine.allocations.get(job.nonce)
        if allocation is None or allocation.life is Life.ENDED:  # refused, final: it ends what it runs
            job.runner = job.connected = False
            return
        job.connected = True
        job.acked = max(job.acked, allocation.acked)
        held = [{"uid": u, "attempt": a, "ended": state == "ended"} for (u, a), state in job.attempts.items()]
        self.tell(s.RunnerConnected(self.now, job.nonce, f"i{job.nonce}", "n1", None, {"gpus": []}, held))  # type: ignore[arg-type]

    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        if job := self.pick(data, Phase.RUNNING, Phase.ENDED):
            job.connected = False

    @rule(data=st.data(), doubled=st.booleans())
    def events(self, data: st.DataObject, doubled: bool) -> None:
        if job := self.pick(data, Phase.RUNNING, Phase.ENDED):
            frames = job.journal if doubled else [frame for frame in job.journal if frame["seq"] > job.acked]
            if job.connected and frames:
                self.tell(s.RunnerEvents(self.now, job.nonce, f"i{job.nonce}", frames))  # type: ignore[arg-type]

    @rule(data=st.data(), phase=st.sampled_from(["Succeeded", "Failed"]))
    def attempt_ends(self, data: st.DataObject, phase: str) -> None:
        running = sorted((job.nonce, *key) for job in self.jobs.values() for key in job.alive())
        if running:
            nonce, uid, attempt = data.draw(st.sampled_from(running))
            self.jobs[nonce].attempts[uid, attempt] = "ended"
            self.jobs[nonce].emit(uid, attempt, phase=phase, started_at=0.0, ended=True)

    @rule(data=st.data(), cause=st.sampled_from(list(Cause)), told=st.booleans())
    def job_ends(self, data: st.DataObject, cause: Cause, told: bool) -> None:
        """With NODE_FAILURE the runner may live on; otherwise everything is dead when the batch system says so."""
        picked = self.pick(data, Phase.RUNNING, Phase.QUEUED)
        for job in self.of(base_of(picked.nonce)) if picked else ():
            job.phase, job.cause, job.fenced = Phase.ENDED, cause, cause is not Cause.NODE_FAILURE
            if not job.fenced:
                continue
            if told:  # by SIGTERM, in time
                for uid, attempt in sorted(job.alive()):
                    job.attempts[uid, attempt] = "ended"
                    job.emit(uid, attempt, phase="Failed", reason=ALLOCATION_ENDING, started_at=0.0, ended=True)
            job.runner = job.connected = False

    @rule()
    def poll(self) -> None:
        for job in list(self.jobs.values()):
            state = AllocationState(
                job.phase, job=f"j{base_of(job.nonce)}", cause=job.cause, words="words", fenced=job.fenced
            )
            self.tell(s.AllocationSeen(self.now, job.nonce, state))

    @rule()
    def spool(self) -> None:
        for effect in [effect for effect in self.pending if isinstance(effect, s.ReadSpool)]:
            self.pending.remove(effect)
            job, allocation = self.jobs[effect.nonce], self.machine.allocations.get(effect.nonce)
            if allocation is not None and allocation.incarnation is not None:
                frames = [frame for frame in job.journal if frame["seq"] > allocation.acked]
                self.tell(s.RunnerEvents(self.now, job.nonce, allocation.incarnation, frames))  # type: ignore[arg-type]
            self.tell(s.SpoolRead(self.now, effect.nonce))

    # ---- time and crashes ----------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 10.0, 60.0, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for job in self.jobs.values():
            if job.connected:
                self.tell(s.RunnerHeard(self.now, job.nonce))
        for job in self.jobs.values():
            allocation = self.machine.allocations.get(job.nonce)
            heard = allocation.heard if allocation else None
            if job.runner and not job.connected and heard is not None and self.now - heard >= RULES.fence_after:
                for uid, attempt in sorted(job.alive()):  # it fences itself
                    job.attempts[uid, attempt] = "ended"
                    job.emit(uid, attempt, phase="Failed", reason="RunnerLost", started_at=0.0, ended=True)
                job.runner = False
        self.tell(s.Tick(self.now))

    @rule()
    def gateway_dies(self) -> None:
        """kill -9: what was stored is all that the next one has; links and effects under way are lost."""
        old = self.machine
        self.machine = Machine(RULES)
        self.pending = []
        for job in self.jobs.values():
            job.connected = False
        pods = [decode(PodRecord, encode(pod)) for pod in old.pods.values()]
        allocations = [decode(AllocationRecord, encode(record)) for record in old.allocations.values()]
        for effect in self.machine.load(pods, old.bundles, allocations, self.now):
            self.perform(effect)
        assert {uid: pod.stage for uid, pod in self.machine.pods.items()} == {u: p.stage for u, p in old.pods.items()}

    # ---- the promises --------------------------------------------------------------------------------------------

    @invariant()
    def at_most_one_attempt_lives(self) -> None:
        alive = [uid for job in self.jobs.values() for uid, _ in job.alive()]
        assert len(alive) == len(set(alive)), f"two attempts of one pod are alive: {alive}"

    @invariant()
    def nothing_lives_of_an_ended_pod(self) -> None:
        for job in self.jobs.values():
            for uid, attempt in job.alive():
                pod = self.machine.pods.get(uid)
                if pod is not None and pod.stage is Stage.ENDED and pod.attempt == attempt:
                    raise AssertionError(f"{uid} has ended, but attempt {attempt} lives in {job.nonce}")

    @invariant()
    def indexes_agree(self) -> None:
        machine = self.machine
        assert set(machine.queued) == {uid for uid, pod in machine.pods.items() if pod.stage is Stage.QUEUED}
        bound = {(pod.nonce, uid) for uid, pod in machine.pods.items() if pod.stage is Stage.BOUND}
        assert {(nonce, uid) for nonce, uids in machine.bound.items() for uid in uids} == bound
        assert set(machine.bundles) == set(machine.pods)
        owners = [pod.owner for pod in machine.pods.values() if pod.stage is not Stage.ENDED]
        assert {owner: count for owner, count in machine.live.items() if count} == Counter(owners)

    @invariant()
    def no_pod_is_stuck(self) -> None:
        """Every pod that has not ended waits for something that still exists."""
        for pod in self.machine.pods.values():
            if pod.stage in (Stage.PLACED, Stage.BOUND):
                allocation = self.machine.allocations.get(pod.nonce or "")
                assert allocation is not None
                assert allocation.life is not Life.ENDED


TestMachine = World.TestCase
TestMachine.settings = settings(
    max_examples=200, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
TestMachine = pytest.mark.timeout(120)(TestMachine)
