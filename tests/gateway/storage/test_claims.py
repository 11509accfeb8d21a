"""Claims in the machine: who uses them, who waits for them, when they go. And inputs of pods that run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farnode.errors import Invalid
from farnode.gateway import stimuli as s
from farnode.gateway.inputs import check_change
from farnode.gateway.machine import Machine
from farnode.gateway.records import ClaimKey, ClaimRecord, Stage
from farnode.gateway.state import Rules
from farnode.gateway.store import Batch, Store
from farnode.model.allocation import AllocationRequest
from farnode.model.bundle import parse_bundle
from farnode.model.image import Image
from tests.gateway.storage.pods import bundle, claim, ephemeral, pod, using

KEY = ClaimKey("alice", "default", "data")
RECORD = ClaimRecord(*KEY, "scratch", "/scratch/alice/default/data", 7, 1.0)
ALONE = claim(accessModes=["ReadWriteOncePod"])


def uid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012x}"


def submitted(machine: Machine, number: int, volume: Any, *claims: Any, owner: str = "alice", at: float = 0.0) -> Any:
    made = bundle(volume, claims, uid=number, name=f"p{number}")
    return machine.handle(s.Submitted(at, owner, made, "process"))


def ready(machine: Machine, number: int, at: float = 1.0) -> None:
    machine.handle(s.ImagesReady(at, uid(number), (Image("busybox:1"),)))


def test_a_pod_waits_for_its_claims_even_without_images() -> None:
    machine = Machine(Rules())
    assert submitted(machine, 1, using(), claim()) == [s.FetchImages(uid(1))]
    assert machine.pods[uid(1)].stage is Stage.IMAGES
    ready(machine, 1)
    assert machine.pods[uid(1)].stage is Stage.QUEUED


def test_a_claim_that_is_not_ready_is_said_and_tried_again() -> None:
    machine = Machine(Rules())
    submitted(machine, 1, using(), claim())
    machine.handle(s.ClaimsFailed(1.0, uid(1), "the claim 'data' is not ready: no quota left", 11.0))
    record = machine.pods[uid(1)]
    (container,) = record.status["containerStatuses"]
    waiting = container["state"]["waiting"]
    assert waiting == {"reason": "ContainerCreating", "message": "the claim 'data' is not ready: no quota left"}
    assert [(note["reason"], note["kind"]) for note in record.notes][-1] == ("FailedMount", "Warning")
    assert machine.handle(s.Tick(10.0)) == []
    assert machine.handle(s.Tick(11.0)) == [s.FetchImages(uid(1))]


def test_a_claim_of_one_pod_at_a_time() -> None:
    """Kubernetes, "Persistent Volumes", access mode ReadWriteOncePod."""
    machine = Machine(Rules())
    for number in (1, 2):
        submitted(machine, number, using(), ALONE)
        ready(machine, number)
    assert [machine.pods[uid(number)].stage for number in (1, 2)] == [Stage.QUEUED, Stage.IMAGES]
    assert machine.pods[uid(2)].status["message"] == "the claim 'data' is ReadWriteOncePod and is used by pod p1"
    for at in (20.0, 40.0):
        machine.handle(s.Tick(at))
    assert [note["reason"] for note in machine.pods[uid(2)].notes] == ["FailedScheduling"]
    machine.handle(s.DeleteAsked(50.0, uid(1)))
    assert s.FetchImages(uid(2)) in machine.handle(s.Tick(60.0))
    ready(machine, 2, 61.0)
    assert machine.pods[uid(2)].stage is Stage.QUEUED


def test_others_share_a_claim() -> None:
    machine = Machine(Rules())
    for number, owner in ((1, "alice"), (2, "alice"), (3, "bob")):
        submitted(machine, number, using(), claim(), owner=owner)
        ready(machine, number)
    assert all(record.stage is Stage.QUEUED for record in machine.pods.values())
    assert [record.uid for record in machine.claim_users(KEY)] == [uid(1), uid(2)]
    assert {key.owner: len(users) for key, users in machine.claims_in_use().items()} == {"alice": 2, "bob": 1}


def test_a_claim_in_use_is_not_deleted() -> None:
    machine = Machine(Rules())
    machine.handle(s.ClaimStored(RECORD))
    submitted(machine, 1, using(), claim())
    assert machine.handle(s.ClaimDeleteAsked(KEY)) == []
    assert not machine.claims[KEY].deleting
    machine.handle(s.DeleteAsked(1.0, uid(1)))
    assert machine.handle(s.ClaimDeleteAsked(KEY)) == [s.ReclaimClaim(KEY)]
    assert machine.handle(s.Tick(2.0)) == [s.ReclaimClaim(KEY)]
    assert machine.claims[KEY].deleting
    machine.handle(s.ClaimGone(KEY))
    machine.handle(s.ClaimGone(KEY))
    assert machine.handle(s.ClaimDeleteAsked(KEY)) == []
    assert not machine.claims


def test_a_claim_deleted_while_it_is_made_ready_stays_deleted() -> None:
    machine = Machine(Rules())
    machine.handle(s.ClaimStored(RECORD))
    machine.handle(s.ClaimDeleteAsked(KEY))
    machine.handle(s.ClaimStored(replace(RECORD, ready=True)))
    assert machine.claims[KEY] == replace(RECORD, ready=True, deleting=True)


def test_an_ephemeral_claim_goes_with_its_pod() -> None:
    """Kubernetes, "Ephemeral Volumes", generic ephemeral volumes: the claim is named after pod and volume."""
    machine = Machine(Rules())
    submitted(machine, 1, ephemeral())
    key = ClaimKey("alice", "default", "p1-v")
    assert machine.claim_keys(machine.pods[uid(1)]) == [key]
    machine.handle(s.ClaimStored(replace(RECORD, name="p1-v", pod=uid(1))))
    ready(machine, 1)
    assert s.ReclaimClaim(key) not in machine.handle(s.Tick(2.0))
    machine.handle(s.DeleteAsked(3.0, uid(1), purge=True))
    assert s.ReclaimClaim(key) in machine.handle(s.Tick(4.0))


def test_claims_survive_the_gateway(tmp_path: Path) -> None:
    other = replace(RECORD, name="other", pod="u", ready=True, deleting=True, reclaim="retain")
    store = Store(tmp_path / "farnode.db")
    store.commit(Batch(claims={RECORD.key: RECORD, other.key: other}))
    store.commit(Batch(claims={RECORD.key: replace(RECORD, size=8)}))
    store.close()
    store = Store(tmp_path / "farnode.db")
    assert sorted(store.load().claims, key=lambda one: one.key) == [replace(RECORD, size=8), other]
    machine = Machine(Rules())
    machine.load([], {}, [], 5.0, store.load().claims)
    assert machine.handle(s.Tick(6.0)) == [s.ReclaimClaim(other.key)]
    store.commit(Batch(claims={RECORD.key: None, other.key: None}))
    assert store.load().claims == []
    store.close()


# ---- inputs ------------------------------------------------------------------------------------------------------


def with_config(text: str, immutable: bool = False) -> dict[str, Any]:
    config = {"metadata": {"name": "c"}, "data": {"key": text}, "immutable": immutable}
    return {**pod({"name": "v", "configMap": {"name": "c"}}, uid=1), "configMaps": [config]}


def connected(machine: Machine, *held: dict[str, Any]) -> list[s.Effect]:
    return machine.handle(s.RunnerConnected(2.0, "n", "i", "n1", "7", {"gpus": []}, held))  # type: ignore[arg-type]


def test_an_attempt_that_is_alive_gets_new_inputs() -> None:
    machine = Machine(Rules())
    machine.handle(s.Submitted(0.0, "alice", parse_bundle(with_config("old")), "process"))
    newer = s.InputsUpdated(1.0, uid(1), 1, parse_bundle(with_config("new")))
    assert machine.handle(newer) == []
    assert machine.handle(s.AllocationWanted(1.0, AllocationRequest("n", 1, 0, "/spool/n"), "main", pod=uid(1)))
    machine.handle(s.AllocationSubmitted(1.0, "n", "7"))
    assert s.StartPod("n", uid(1)) in connected(machine)
    assert machine.handle(newer) == []  # known already
    newest = replace(newer, version=2)
    assert machine.handle(newest) == [s.UpdateInputs("n", uid(1))]
    alive = {"uid": uid(1), "attempt": 1, "ended": False}
    assert s.UpdateInputs("n", uid(1)) in connected(machine, alive)  # a runner that does not count
    assert s.UpdateInputs("n", uid(1)) in connected(machine, {**alive, "inputs": 1})
    assert s.UpdateInputs("n", uid(1)) not in connected(machine, {**alive, "inputs": 2})


def test_an_attempt_whose_inputs_never_changed_is_left_alone() -> None:
    machine = Machine(Rules())
    machine.handle(s.Submitted(0.0, "alice", parse_bundle(with_config("old")), "process"))
    machine.handle(s.AllocationWanted(1.0, AllocationRequest("n", 1, 0, "/spool/n"), "main", pod=uid(1)))
    machine.handle(s.AllocationSubmitted(1.0, "n", "7"))
    connected(machine)
    assert s.UpdateInputs("n", uid(1)) not in connected(machine, {"uid": uid(1), "attempt": 1, "ended": False})


def test_what_is_immutable_does_not_change() -> None:
    fixed, loose = (parse_bundle(with_config("old", immutable)) for immutable in (True, False))
    check_change(loose, parse_bundle(with_config("new")))
    check_change(fixed, parse_bundle(with_config("old", True)))
    for changed in (with_config("new", True), with_config("old")):
        with pytest.raises(Invalid, match=r"^configMaps\[c\]: 'c' is immutable"):
            check_change(fixed, parse_bundle(changed))
