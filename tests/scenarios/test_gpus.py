"""GPUs: as many as asked for, exactly these, nobody else's; and what waits for them.

https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/ and
https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#extended-resources
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from farnode import Invalid, Pod
from tests.scenarios.observe import log, story
from tests.scenarios.stage import Json, Scene, Stage, shell
from tests.sites import wait_until

SHOW = 'echo "${CUDA_VISIBLE_DEVICES-unset}"'
RESOURCE = "nvidia.com/gpu"


def gpus(count: int) -> Json:
    return {"resources": {"limits": {RESOURCE: count}}}


def shown(stage: Stage, pod: Pod, container: str | None = None) -> list[str]:
    """The devices a container saw."""
    return log(stage.client, pod, container).decode().strip().split(",")


def as_many_as_asked_for(stage: Stage) -> None:
    pod = stage.client.wait(stage.submit([shell("two-gpus", SHOW, container=gpus(2))]))
    assert pod.succeeded, story(pod)
    devices = shown(stage, pod)
    assert len(set(devices)) == 2
    assert set(devices) == set(pod.gpus)


def one_for_each_container(stage: Stage) -> None:
    document = shell("gpu-each", SHOW, container=gpus(1))
    document["spec"]["containers"].append({**document["spec"]["containers"][0], "name": "other"})
    pod = stage.client.wait(stage.submit([document]))
    devices = shown(stage, pod, "main") + shown(stage, pod, "other")
    assert len(set(devices)) == 2, story(pod)
    assert set(devices) == set(pod.gpus)


def none_unasked(stage: Stage) -> None:
    """Who asks for none sees none, though the node has some."""
    pod = stage.client.wait(stage.submit([shell("no-gpu", SHOW)]))
    assert shown(stage, pod) in ([""], ["void"], ["none"], ["NoDevFiles"], ["-1"]), story(pod)
    assert not pod.gpus


def of_a_model(stage: Stage) -> None:
    """Any type that the site names can be asked for."""
    for model in sorted({model for kinds in stage.site.gpus.values() for model in kinds}):
        document = shell(f"model-{model}", SHOW, container=gpus(1))
        document["metadata"]["annotations"] = {"farnode.io/gpu-model": model}
        pod = stage.client.wait(stage.submit([document]))
        assert pod.succeeded, story(pod)
        (node,) = pod.allocation["nodes"]
        assert len(stage.site.gpus) == 1 or model in stage.site.gpus[node]


def more_than_there_are(stage: Stage) -> None:
    """Too large for every node, though two nodes together would do."""
    most = max(sum(kinds.values()) for kinds in stage.site.gpus.values())
    with pytest.raises(Invalid, match=f"fits nowhere.*{RESOURCE}"):
        stage.submit([shell("too-many", SHOW, container=gpus(most + 1))])


def exclusive_and_all_finish(stage: Stage) -> None:
    """More pods than devices: no device is ever with two, some run side by side, and in the end all have run."""
    capacity = sum(sum(kinds.values()) for kinds in stage.site.gpus.values())
    pods = [
        stage.submit([shell(f"queue-{number}", f"{SHOW}; sleep 1", container=gpus(1))])
        for number in range(capacity + 2)
    ]
    most = 0
    for holders in held(stage, {pod.uid for pod in pods}):
        devices = [device for held_devices in holders.values() for device in held_devices]
        assert len(devices) == len(set(devices)), holders
        most = max(most, len(holders))
    assert most > 1
    for pod in map(stage.now, pods):
        assert pod.succeeded, story(pod)
        assert shown(stage, pod) == list(pod.gpus)


def held(stage: Stage, uids: set[str]) -> Iterator[dict[str, list[tuple[str, str]]]]:
    """Who has which devices (node, name) at every change, of all pods at the site, until these pods have ended."""
    holders: dict[str, list[tuple[str, str]]] = {}
    left = set(uids)
    events = stage.client.watch()
    for event in events:
        view: Any = event.get("pod", {})
        if view.get("ended") or event["type"] == "gone":
            holders.pop(event["uid"], None)
            left.discard(event["uid"])
        elif view.get("gpus"):
            node = view["status"].get("hostIP", "")
            holders[event["uid"]] = [(node, device) for device in view["gpus"]]
        yield dict(holders)
        if not left:
            events.close()
            return


def deleted_while_it_waits(stage: Stage) -> None:
    """A pod behind others says that it waits, and can be taken back: then it has never run."""
    most = max(count for kinds in stage.site.gpus.values() for count in kinds.values())
    pods = [
        stage.submit([shell(f"whole-node-{number}", "sleep 600", container=gpus(most))])
        for number in range(stage.site.nodes + 1)
    ]

    def by_phase() -> dict[str, list[Pod]]:
        found = list(map(stage.now, pods))
        return {phase: [pod for pod in found if pod.phase == phase] for phase in ("Pending", "Running")}

    try:
        wait_until(lambda: len(by_phase()["Running"]) == stage.site.nodes, "all but one run", stage.site.patience)
        (waiting,) = by_phase()["Pending"]
        assert waiting.message, story(waiting)
        stage.client.delete(waiting)
        waiting = stage.client.wait(waiting)
        assert (waiting.phase, waiting.reason, waiting.attempt) == ("Failed", "Deleted", 0), story(waiting)
    finally:
        stage.client.delete(pods, grace=0)
    for pod in map(stage.client.wait, pods):
        assert pod.phase == "Failed", story(pod)


SCENES = [
    as_many_as_asked_for,
    one_for_each_container,
    none_unasked,
    of_a_model,
    more_than_there_are,
    exclusive_and_all_finish,
    deleted_while_it_waits,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_gpus(stage: Stage, scene: Scene) -> None:
    stage.play(scene)
