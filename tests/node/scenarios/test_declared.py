"""Every scenario of tests/scenarios/pods, judged by what the API server says."""

from __future__ import annotations

from functools import partial

import pytest

from farnode import FarnodeError
from tests.node.scenarios.cluster import ClusterStage
from tests.scenarios import declared
from tests.scenarios.observe import story
from tests.scenarios.scenario import Scenario, load, played
from tests.scenarios.stage import Scene, Stage

pytestmark = pytest.mark.system
SCENARIOS = played()
GIVEN = ("service-account-token", "misspelt-field", "stop-signal-without-system")
"""What is refused without a cluster, and not with one: it has tokens, and drops fields that it does not know."""
LATER = ("missing-config-map", "missing-secret-key", "claim-that-is-not-there")
"""What may come yet, where there is a cluster: a node waits for it."""
REFUSED = [scenario for scenario in load("refused") if scenario.name not in GIVEN + LATER]


def play(scenario: Scenario, stage: Stage) -> None:
    assert isinstance(stage, ClusterStage)
    if scenario.missing(stage.capabilities) == "isolation":  # whether others are seen hangs on who runs just then
        assert stage.client.wait(stage.submit(scenario.documents)).ended
    elif "notes" in scenario.expect and scenario.missing(stage.capabilities) is None:
        expect = {key: value for key, value in scenario.expect.items() if key in ("phase", "notes")}
        pod = stage.told(stage.client.wait(stage.submit(scenario.documents)))
        assert pod.phase == expect["phase"], story(pod)
        assert set(expect["notes"]) <= {note["reason"] for note in pod.notes}, story(pod)
    else:
        declared.play(scenario, stage)


@pytest.mark.parametrize(
    "scene", [partial(play, scenario) for scenario in SCENARIOS], ids=[scenario.name for scenario in SCENARIOS]
)
def test_pod(stage: ClusterStage, scene: Scene) -> None:
    stage.play(scene)


@pytest.mark.parametrize("refused", REFUSED, ids=[scenario.name for scenario in REFUSED])
def test_refused(stage: ClusterStage, refused: Scenario) -> None:
    """With the field and what to use instead in its status; or by the API server, where that knows of the fault."""
    assert refused.refused is not None
    try:
        pod = stage.submit(refused.documents)
    except FarnodeError:
        return
    pod = stage.client.wait(pod)
    assert (pod.phase, pod.reason) == ("Failed", "SiteRefused")
    assert pod.message.startswith(refused.refused.field)
    for words in refused.refused.words:
        assert words in pod.message
