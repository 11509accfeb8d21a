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
    """Begins every scene that was selected for this stack."""
    with Stage(request.getfixturevalue(f"{request.param.site}_site"), request.param) as stage:
        for item in request.session.items:
            parameters = _parameters(item)
            if parameters.get("stage") == request.param and "scene" in parameters:
                scene = parameters["scene"]
                stage.begin(scene, scene)
        yield stage


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
