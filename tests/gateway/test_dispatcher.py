"""What is sent to runners fits into a frame of theirs, and nothing that is to be done is lost."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import anyio
import orjson
import pytest

from farnode.errors import Invalid
from farnode.gateway import stimuli as s
from farnode.gateway.batch import Cadence
from farnode.gateway.commands import encoded
from farnode.gateway.config import Storage
from farnode.gateway.dispatcher import ORDER_BYTES, Dispatcher
from farnode.gateway.images.wants import wants
from farnode.gateway.machine import Machine
from farnode.gateway.state import Rules
from farnode.gateway.storage import Keeper
from farnode.model.allocation import AllocationRequest
from farnode.model.bundle import Bundle, parse_bundle
from farnode.model.image import Image

pytestmark = pytest.mark.anyio
UID = "00000000-0000-0000-0000-000000000001"


class Sent:
    """Runners that keep what they are sent, encoded as for the wire."""

    gone: Any = None

    def __init__(self) -> None:
        self.types: list[str] = []

    def send(self, nonce: str, message: Any) -> None:
        self.post(nonce, encoded(message))

    def post(self, _: str, message: bytes) -> None:
        assert len(message) < ORDER_BYTES
        self.types.append(orjson.loads(message)["type"])


class Stage:
    """A pod whose runner has just come, and what the dispatcher makes of it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.machine = Machine(Rules())
        self.told: list[s.Stimulus] = []
        self.sent = Sent()
        engine: Any = SimpleNamespace(machine=self.machine, clock=lambda: 0.0, tell=self._tell)
        runners, none = self.sent, None
        made: Any = Dispatcher
        cadence, keeper = Cadence(1, 1, 1, 1), Keeper(Storage(), engine)
        self.dispatcher = made(engine, none, runners, none, none, none, cadence, "node", {}, keeper)
        self.machine.handle(s.Submitted(0.0, "alice", parse_bundle(document), "process"))
        self.machine.handle(s.AllocationWanted(1.0, AllocationRequest("n", 1, 0, "/spool/n"), "main", pod=UID))
        self.machine.handle(s.AllocationSubmitted(1.0, "n", "7"))
        self.happens(s.RunnerConnected(2.0, "n", "i", "n1", "7", {"gpus": []}, []))

    async def _tell(self, stimulus: s.Stimulus) -> None:
        self.told.append(stimulus)

    def happens(self, stimulus: s.Stimulus) -> None:
        self.dispatcher.perform(self.machine.handle(stimulus))


def document(text: str, containers: list[dict[str, Any]], volumes: list[dict[str, Any]]) -> dict[str, Any]:
    metadata = {"name": "p", "uid": UID, "annotations": {"farnode.io/runtime": "process"}}
    spec = {"restartPolicy": "Never", "containers": containers, "volumes": volumes}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    return {"pod": pod, "configMaps": [{"metadata": {"name": "c"}, "data": {"k": text}}]}


def container(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox", "command": ["true"], **fields}


def labelled(size: int) -> dict[str, Any]:
    """Its volume has one annotation in many files, which no limit of ConfigMaps counts."""
    field = {"fieldRef": {"fieldPath": "metadata.annotations['note']"}}
    items = [{"path": f"p{number}", **field} for number in range(150)]
    made = document("", [container("main")], [{"name": "v", "downwardAPI": {"items": items}}])
    made["pod"]["metadata"]["annotations"]["note"] = "x" * size
    return made


class Slow:
    """Images that are had when `ready` is set."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ready = anyio.Event()

    def wants(self, bundle: Bundle, runtime: str) -> Any:
        return wants(bundle, runtime, "sif")

    async def prepare(self, wanted: Any, *_: object) -> Image:
        self.asked.append(wanted.reference)
        await self.ready.wait()
        return Image(wanted.reference)


async def test_images_of_an_earlier_pod_with_the_same_uid_hold_nobody_up() -> None:
    machine, images, effects = Machine(Rules()), Slow(), asyncio.Queue[list[s.Effect]]()

    async def tell(stimulus: s.Stimulus) -> None:
        effects.put_nowait(machine.handle(stimulus))

    engine: Any = SimpleNamespace(machine=machine, clock=lambda: 0.0, tell=tell)
    made: Any = Dispatcher
    keeper, none = Keeper(Storage(), engine), None
    dispatcher = made(engine, none, Sent(), none, images, none, Cadence(1, 1, 1, 1), "node", {}, keeper)

    async def perform() -> None:
        while True:
            dispatcher.perform(await effects.get())

    performing = asyncio.create_task(perform())
    await tell(s.Submitted(0.0, "alice", parse_bundle(fetched("one:1")), "apptainer"))
    await anyio.wait_all_tasks_blocked()
    await tell(s.DeleteAsked(1.0, UID, purge=True))
    await tell(s.Submitted(2.0, "alice", parse_bundle(fetched("two:1")), "apptainer"))
    await anyio.wait_all_tasks_blocked()
    images.ready.set()
    await anyio.wait_all_tasks_blocked()
    assert images.asked == ["one:1", "two:1"]
    assert machine.pods[UID].images == (Image("two:1"),)
    performing.cancel()
    await dispatcher.close()


def fetched(image: str) -> dict[str, Any]:
    made = document("x", [container("main", image=image)], [])
    del made["pod"]["metadata"]["annotations"]
    return made


async def test_an_order_is_measured_as_it_is_sent() -> None:
    """A control character takes six bytes in JSON."""
    given = [{"configMapRef": {"name": "c"}}]
    stage = Stage(document("\x01" * 500_000, [container(f"c{number}", envFrom=given) for number in range(16)], []))
    await anyio.wait_all_tasks_blocked()
    (told,) = stage.told
    assert isinstance(told, s.Unsendable)
    assert "drain" in stage.sent.types


async def test_new_inputs_that_are_too_many_are_not_sent() -> None:
    stage = Stage(labelled(1))
    stage.happens(s.InputsUpdated(3.0, UID, 1, parse_bundle(labelled(200_000))))
    assert "inputs" not in stage.sent.types
    stage.happens(s.InputsUpdated(4.0, UID, 2, parse_bundle(labelled(2))))
    assert "inputs" in stage.sent.types


def test_a_key_counts_as_often_as_it_is_a_file() -> None:
    items = [{"key": "k", "path": f"p{number}"} for number in range(40)]
    volumes = [{"name": "v", "configMap": {"name": "c", "items": items}}]
    parse_bundle(document("x", [container("main")], volumes))
    with pytest.raises(Invalid, match="40000000 bytes of ConfigMaps and Secrets"):
        parse_bundle(document("x" * 1_000_000, [container("main")], volumes))
