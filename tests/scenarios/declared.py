"""Plays a scenario of `pods/*.yaml`."""

from __future__ import annotations

import json

import pytest

from farnode import FarnodeError, Invalid, Pod
from tests.scenarios.observe import log, observed, story
from tests.scenarios.scenario import Scenario
from tests.scenarios.stage import Stage, unique

SLEEPER = "<unique>"
"""In a scenario: a number nobody else has on a command line. `gone: true` expects that no such process is left."""
UID = "<uid>"
LACKING = {
    "image": ("spec.containers[0].image", "has no container runtime"),
}
"""Where a site lacks a capability: the field and words a pod that needs it is refused with."""


def play(scenario: Scenario, stage: Stage) -> None:
    lacks = scenario.missing(stage.capabilities)
    if lacks in LACKING:
        play_refused_for(lacks, scenario, stage)
    elif lacks == "mounts":
        play_without_mounts(scenario, stage)
    elif lacks is not None:
        play_otherwise(scenario, stage)
    else:
        play_whole(scenario, stage)


def play_otherwise(scenario: Scenario, stage: Stage) -> None:
    """What the stack is said not to give it does not give: a gap that was closed is to be taken out of its list."""
    with pytest.raises(AssertionError):
        play_whole(scenario, stage)


def play_whole(scenario: Scenario, stage: Stage) -> None:
    number = unique()
    documents = json.loads(json.dumps(scenario.documents).replace(SLEEPER, number))
    pod = stage.client.wait(stage.submit(documents))
    expect = json.loads(json.dumps(scenario.expect).replace(UID, pod.uid))
    nothing_left = expect.pop("gone", False)
    logs = {name: text(stage, pod, name) for name in expect.get("logs", ())}
    assert observed(pod, expect, logs) == expect, story(pod)
    if nothing_left:
        assert not [line for line in stage.site.command_lines() if number in line]


def text(stage: Stage, pod: Pod, container: str) -> str:
    try:
        return log(stage.client, pod, container).decode()
    except FarnodeError as error:  # to be seen beside the pod's status
        return f"no log: {error}"


def play_refused_for(lacks: str, scenario: Scenario, stage: Stage) -> None:
    field, words = LACKING[lacks]
    with pytest.raises(Invalid, match=words) as refusal:
        stage.submit(scenario.documents, fit=False)
    assert refusal.value.field == field


def play_without_mounts(scenario: Scenario, stage: Stage) -> None:
    """A node that forbids user namespaces cannot say so before the pod is there."""
    pod = stage.client.wait(stage.submit(scenario.documents))
    assert (pod.phase, pod.reason) == ("Failed", "CreateContainerConfigError"), story(pod)
    assert "volumes cannot be mounted on this node" in pod.message
