"""The sites these tests run at, and the stage on which all scenes of a site are played together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.scenarios.stacks import STACKS, Stack
from tests.scenarios.stage import Stage
from tests.sites.fixtures import box_site, embedded_site

__all__ = ["box_site", "embedded_site"]


def _parameter(stack: Stack) -> object:
    return pytest.param(stack, id=stack.name, marks=[pytest.mark.system] if stack.site == "box" else [])


@pytest.fixture(scope="package", params=[_parameter(stack) for stack in STACKS])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with Stage(request.getfixturevalue(f"{request.param.site}_site"), request.param) as stage:
        begin_selected(request, stage)
        yield stage


def begin_selected(request: pytest.FixtureRequest, stage: Stage) -> None:
    """Begins every scene of this package that was selected for this stack."""
    for item in request.session.items:
        parameters = _parameters(item)
        if parameters.get("stage") == request.param and "scene" in parameters and request.node in item.listchain():
            scene = parameters["scene"]
            stage.begin(scene, scene)


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
