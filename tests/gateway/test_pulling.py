"""What a pod says while it waits for its images: the kubelet's reasons, events and pace.

https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from farnode.gateway import stimuli as s
from farnode.gateway.config import Images
from farnode.gateway.engine import Engine
from farnode.gateway.images import ImageStore
from farnode.gateway.machine import Machine
from farnode.gateway.pulls import Pulls
from farnode.gateway.records import PodRecord, Stage
from farnode.gateway.state import Rules
from farnode.gateway.store import Store
from farnode.model.bundle import Bundle, parse_bundle
from farnode.model.image import Image

UID = str(uuid.UUID(int=1))


def bundle(image: str = "busybox:1", secrets: tuple[str, ...] = (), policy: str = "IfNotPresent") -> Bundle:
    container = {"name": "c", "image": image, "imagePullPolicy": policy, "command": ["true"]}
    spec = {"containers": [container], "imagePullSecrets": [{"name": name} for name in secrets]}
    return parse_bundle({"pod": {"metadata": {"name": "p", "uid": UID}, "spec": spec}})


@pytest.fixture
def machine() -> Machine:
    made = Machine(Rules())
    made.handle(s.Submitted(0.0, "alice", bundle(), "apptainer"))
    return made


def story(pod: PodRecord) -> list[tuple[str, str, str]]:
    return [(note["kind"], note["reason"], note["message"]) for note in pod.notes]


def waiting(pod: PodRecord) -> tuple[str, str]:
    state = pod.status["containerStatuses"][0]["state"]["waiting"]
    return state["reason"], state.get("message", "")


def fail(machine: Machine, at: float, reason: str = "ErrImagePull", retry: float = 20.0) -> PodRecord:
    machine.handle(s.ImagesFailed(at, UID, "busybox:1", reason, "no such tag", retry))
    return machine.pods[UID]


def test_a_pull_that_fails_backs_off(machine: Machine) -> None:
    pod = fail(machine, 10.0)
    assert waiting(pod) == ("ErrImagePull", "no such tag")
    assert machine.handle(s.Tick(11.0)) == []
    pod = machine.pods[UID]
    assert waiting(pod) == ("ImagePullBackOff", 'Back-off pulling image "busybox:1": ErrImagePull: no such tag')
    assert story(pod) == [
        ("Warning", "Failed", 'Failed to pull image "busybox:1": no such tag'),
        ("Warning", "Failed", "Error: ErrImagePull"),
        ("Normal", "BackOff", 'Back-off pulling image "busybox:1"'),
        ("Warning", "Failed", "Error: ImagePullBackOff"),
    ]
    assert machine.handle(s.Tick(19.0)) == []
    assert machine.pods[UID] is pod
    assert machine.handle(s.Tick(20.0)) == [s.FetchImages(UID)]
    assert waiting(fail(machine, 21.0))[0] == "ErrImagePull"
    assert machine.pods[UID].failures == 2


@pytest.mark.parametrize(
    ("reason", "event"), [("ErrImageNeverPull", "ErrImageNeverPull"), ("InvalidImageName", "InspectFailed")]
)
def test_what_no_waiting_changes_has_no_back_off(machine: Machine, reason: str, event: str) -> None:
    pod = fail(machine, 10.0, reason)
    machine.handle(s.Tick(11.0))
    assert machine.pods[UID] is pod
    assert waiting(pod) == (reason, "no such tag")
    assert story(pod) == [("Warning", event, "no such tag"), ("Warning", "Failed", f"Error: {reason}")]


def test_what_is_told_meanwhile(machine: Machine) -> None:
    note: Any = {"at": 5.0, "kind": "Normal", "reason": "Pulling", "message": 'Pulling image "busybox:1"'}
    machine.handle(s.ImagesNoted(UID, (note,)))
    pulled: Any = {**note, "at": 9.0, "reason": "Pulled"}
    machine.handle(s.ImagesReady(9.0, UID, (Image("busybox:1"),), (pulled,)))
    pod = machine.pods[UID]
    assert [(one["at"], one["reason"]) for one in pod.notes] == [(5.0, "Pulling"), (9.0, "Pulled")]
    assert (pod.stage, pod.failures) == (Stage.QUEUED, 0)
    machine.handle(s.ImagesNoted(UID, (note,)))
    machine.handle(s.ImagesNoted("gone", (note,)))
    assert machine.pods[UID] is pod


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    store = Store(tmp_path / "db")
    made = Engine(Machine(Rules()), store, lambda: 100.0)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    store.close()


async def pull(engine: Engine, tmp_path: Path, wanted: Bundle, runtime: str = "apptainer") -> PodRecord:
    if UID not in engine.machine.pods:
        await engine.ask(s.Submitted(engine.clock(), "alice", wanted, runtime))
    settings = Images(prepared={"busybox:1": tmp_path})
    await Pulls(engine, ImageStore(settings, tmp_path / "images"))(UID)
    await engine.ask(s.Tick(engine.clock()))
    return engine.machine.pods[UID]


@pytest.mark.anyio
async def test_tries_are_further_and_further_apart(engine: Engine, tmp_path: Path) -> None:
    wanted = bundle("Bad Name")
    retries = [(await pull(engine, tmp_path, wanted)).retry for _ in range(7)]
    assert retries == [110, 120, 140, 180, 260, 400, 400]
    assert waiting(engine.machine.pods[UID])[0] == "InvalidImageName"


@pytest.mark.anyio
async def test_an_image_that_is_there(engine: Engine, tmp_path: Path) -> None:
    pod = await pull(engine, tmp_path, bundle(secrets=("absent",)))
    assert pod.images[0].path == str(tmp_path)
    words = "Unable to retrieve some image pull secrets (absent); attempting to pull the image may not succeed."
    assert story(pod) == [
        ("Warning", "FailedToRetrieveImagePullSecret", words),
        ("Normal", "Pulled", 'Container image "busybox:1" already present on machine'),
    ]


@pytest.mark.anyio
async def test_what_is_not_to_be_pulled(engine: Engine, tmp_path: Path) -> None:
    pod = await pull(engine, tmp_path, bundle("busybox:2", policy="Never"))
    words = 'Container image "busybox:2" is not present with pull policy of Never'
    assert waiting(pod) == ("ErrImageNeverPull", words)
    assert [note["message"] for note in pod.notes] == [words, "Error: ErrImageNeverPull"]


@pytest.mark.anyio
async def test_a_registry_that_is_away(engine: Engine, tmp_path: Path) -> None:
    pod = await pull(engine, tmp_path, bundle("localhost:1/tool:1"))
    assert waiting(pod)[0] == "ImagePullBackOff"
    assert "the registry localhost:1 does not answer" in waiting(pod)[1]
    reasons = [note["reason"] for note in pod.notes]
    assert reasons == ["Pulling", "Failed", "Failed", "BackOff", "Failed"]
    assert pod.retry == 110


@pytest.mark.anyio
async def test_a_pod_that_has_gone_meanwhile(engine: Engine, tmp_path: Path) -> None:
    await Pulls(engine, ImageStore(Images(), tmp_path / "images"))(UID)
    assert engine.machine.pods == {}
