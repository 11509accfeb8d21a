"""Rules of the machine that random histories seldom reach, one by one."""

from __future__ import annotations

import uuid
from typing import Any

from farnode.gateway import stimuli as s
from farnode.gateway.machine import Machine
from farnode.gateway.records import Life, Stage
from farnode.gateway.state import Rules
from farnode.model.allocation import AllocationRequest, AllocationState, Cause, Phase
from farnode.model.image import Image
from tests.gateway.test_machine import bundle

UID = str(uuid.UUID(int=1))
RULES = Rules(fence_after=100.0, fence_margin=10.0, settle_after=5.0)


def machine(policy: str = "Never", runtime: str = "apptainer") -> Machine:
    made = Machine(RULES)
    made.handle(s.Submitted(0.0, "alice", bundle(UID, policy), runtime))
    return made


def bound(policy: str = "Never") -> Machine:
    """A pod whose attempt 1 has been sent to the runner `i` of allocation `n`, batch job 7."""
    made = machine(policy)
    made.handle(s.ImagesReady(1.0, UID, (Image("busybox"),)))
    made.handle(s.AllocationWanted(1.0, AllocationRequest("n", 1, 0, "/spool/n"), "main", pod=UID))
    made.handle(s.AllocationSubmitted(1.0, "n", "7"))
    connect(made, 2.0)
    return made


def connect(made: Machine, at: float, held: tuple[dict[str, Any], ...] = ()) -> list[s.Effect]:
    return made.handle(s.RunnerConnected(at, "n", "i", "n1", "7", {"gpus": []}, held))  # type: ignore[arg-type]


def event(made: Machine, seq: int, **fields: Any) -> list[s.Effect]:
    frame = {"seq": seq, "uid": UID, "attempt": 1, "at": 0.0, **fields}
    return made.handle(s.RunnerEvents(3.0, "n", "i", [frame]))  # type: ignore[list-item]


def test_a_pod_without_images_is_queued_at_once() -> None:
    assert machine(runtime="process").pods[UID].stage is Stage.QUEUED


def test_images_of_an_earlier_pod_with_this_uid_are_not_taken() -> None:
    made = machine()
    assert made.handle(s.ImagesReady(1.0, UID, (Image("other"),))) == [s.FetchImages(UID)]
    assert made.pods[UID].stage is Stage.IMAGES


def test_a_submission_refused_for_days_is_tried_again() -> None:
    made = machine()
    made.handle(s.ImagesReady(1.0, UID, (Image("busybox"),)))
    for number in range(1100):
        nonce = f"n{number}"
        request = AllocationRequest(nonce, 1, 0, "/spool")
        made.handle(s.AllocationWanted(float(number), request, "main", pod=UID))
        made.handle(s.AllocationRefused(float(number), nonce, "the limit is reached", True))
    pod = made.pods[UID]
    assert (pod.stage, pod.retry) == (Stage.QUEUED, 1099 + 300.0)


def test_a_restart_goes_on_with_an_allocation_whose_end_was_told() -> None:
    """Of a node of a gang's job nothing tells it again."""
    old = bound()
    ended = AllocationState(Phase.ENDED, "7", Cause.FAILED, "RunnerEnded", "its runner ended")
    assert s.ReadSpool("n") in old.handle(s.AllocationSeen(3.0, "n", ended))
    new = Machine(RULES)
    assert s.ReadSpool("n") in new.load(old.pods.values(), old.bundles, old.allocations.values(), 4.0)
    new.handle(s.SpoolRead(5.0, "n"))
    assert new.pods[UID].stage is Stage.ENDED


def test_new_inputs_of_a_pod_that_has_ended_change_nothing() -> None:
    """What changes after its end would be charged to its owner again."""
    made = bound()
    event(made, 1, phase="Succeeded", started_at=2.0, ended=True, containers=[], init_containers=[])
    made.take_changed()
    assert made.handle(s.InputsUpdated(4.0, UID, 1, bundle(UID, "Never"))) == []
    assert not made.take_changed()


def test_an_attempt_that_was_cut_is_not_started_again() -> None:
    made = bound()
    event(made, 1, phase="Failed", reason="AllocationEnding", started_at=2.0, ended=True)
    assert made.pods[UID].cut
    assert not [effect for effect in connect(made, 4.0) if isinstance(effect, s.StartPod)]


def test_a_cut_before_anything_ran_is_not_the_pods_end() -> None:
    made = bound()
    event(made, 1, phase="Failed", reason="AllocationEnding", ended=True)
    assert made.pods[UID].stage is Stage.QUEUED


def test_the_same_nonce_twice_in_the_queue_is_judged_by_the_job_whose_runner_came() -> None:
    made = bound()
    made.handle(s.AllocationSeen(5.0, "n", AllocationState(Phase.ENDED, job="8", cause=Cause.FAILED)))
    assert made.allocations["n"].life is Life.RUNNING


def test_a_job_the_batch_system_forgot_lives_as_long_as_its_runner_is_heard() -> None:
    made = bound()
    for at in range(10, 100, 10):
        made.handle(s.AllocationSeen(float(at), "n", AllocationState(Phase.ABSENT)))
        made.handle(s.RunnerHeard(at + 1.0, "n"))
    assert made.pods[UID].stage is Stage.BOUND
    assert made.allocations["n"].given_up is None


def test_the_longest_promise_to_a_runner_counts() -> None:
    made = bound()
    made.rules = Rules(fence_after=1.0, fence_margin=1.0)
    made.handle(
        s.AllocationSeen(5.0, "n", AllocationState(Phase.ENDED, job="7", cause=Cause.NODE_FAILURE, fenced=False))
    )
    assert made.handle(s.Tick(50.0)) == []
    assert made.handle(s.Tick(113.0)) == [s.ReadSpool("n")]


def test_what_comes_after_an_allocations_end_changes_nothing() -> None:
    made = bound()
    made.handle(s.AllocationSeen(5.0, "n", AllocationState(Phase.ENDED, job="7", cause=Cause.COMPLETED)))
    made.handle(s.SpoolRead(5.0, "n"))
    made.take_changed()
    event(made, 1, phase="Succeeded", started_at=2.0, ended=True)
    connect(made, 6.0)
    assert not made.changed
    assert made.pods[UID].status["phase"] == "Failed"


def test_attempts_nobody_needs_are_forgotten() -> None:
    other = {"uid": str(uuid.UUID(int=9)), "attempt": 1, "ended": True}
    assert s.ForgetPod("n", other["uid"], 1) in connect(bound(), 4.0, (other,))


def test_a_deletion_with_purge_removes_the_record_when_the_pod_has_ended() -> None:
    made = bound()
    made.handle(s.DeleteAsked(3.0, UID, 0.0, purge=True))
    event(made, 1, phase="Failed", started_at=2.0, ended=True)
    made.handle(s.Tick(4.0))
    assert UID not in made.pods


def test_why_a_job_script_could_not_start_its_runner_reaches_the_pod() -> None:
    made = machine()
    made.handle(s.ImagesReady(1.0, UID, (Image("busybox"),)))
    made.handle(s.AllocationWanted(1.0, AllocationRequest("n", 1, 0, "/spool/n"), "main", pod=UID))
    made.handle(s.AllocationSubmitted(1.0, "n", "7"))
    ended = AllocationState(Phase.ENDED, job="7", cause=Cause.FAILED, words="the job script failed")
    assert made.handle(s.AllocationSeen(5.0, "n", ended)) == [s.ReadSpool("n")]
    made.handle(s.SpoolRead(5.0, "n", "no Python 3.9 or newer"))
    assert "no Python 3.9 or newer" in made.pods[UID].status["message"]


def test_an_order_that_cannot_be_sent_ends_its_pod() -> None:
    made = bound()
    made.handle(s.Unsendable(3.0, UID, "too large"))
    assert (made.pods[UID].stage, made.pods[UID].status["reason"]) == (Stage.ENDED, "OrderFailed")
