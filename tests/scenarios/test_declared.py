"""Every scenario of `pods/*.yaml`."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from farnode import Invalid
from tests.scenarios.declared import play
from tests.scenarios.scenario import Scenario, load, played
from tests.scenarios.stage import Scene, Stage

SCENARIOS = played()
REFUSED = load("refused")


@pytest.mark.parametrize(
    "scene", [partial(play, scenario) for scenario in SCENARIOS], ids=[scenario.name for scenario in SCENARIOS]
)
def test_pod(stage: Stage, scene: Scene) -> None:
    stage.play(scene)


@pytest.mark.parametrize("refused", REFUSED, ids=[scenario.name for scenario in REFUSED])
def test_refused(stage: Stage, refused: Scenario) -> None:
    """By the client, before anything is sent, and by a gateway to whom somebody sends it nevertheless."""
    assert refused.refused is not None
    with pytest.raises(Invalid) as error:
        stage.submit(refused.documents)
    assert error.value.field.endswith(refused.refused.field), error.value
    (verdict,) = submitted_raw(stage, refused)
    assert (verdict["verdict"], verdict.get("field")) == ("invalid", refused.refused.field), verdict
    for words in refused.refused.words:
        assert words in verdict["message"]
        assert words in error.value.problem


def submitted_raw(stage: Stage, scenario: Scenario) -> list[Any]:
    """The gateway's verdicts on a bundle that no client has looked at."""
    pod, *objects = stage.fitted(scenario.documents)
    pod["metadata"]["uid"] = "00000000-0000-4000-8000-000000000000"
    bundle = {
        "pod": pod,
        "configMaps": [one for one in objects if one["kind"] == "ConfigMap"],
        "secrets": [one for one in objects if one["kind"] == "Secret"],
    }
    verdicts: list[Any] = stage.site.call("POST", "/v1/pods", {"bundles": [bundle]})["verdicts"]
    return verdicts
