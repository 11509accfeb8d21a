"""The sites these tests run at, and the stage on which all scenes of a site are played together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scenarios.stage import Stage
from tests.sites.fixtures import box_site, embedded_site

__all__ = ["box_site", "embedded_site"]


@pytest.fixture(scope="session", params=["embedded", pytest.param("box", marks=pytest.mark.system)])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Begins every scene that was selected for this site."""
    with Stage(request.getfixturevalue(f"{request.param}_site")) as stage:
        for item in request.session.items:
            parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
            if parameters.get("stage") == request.param and "scene" in parameters:
                scene = parameters["scene"]
                stage.begin(scene, scene)
        yield stage
