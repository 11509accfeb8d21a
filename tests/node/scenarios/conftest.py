"""The same scenes as at a bare site, now in a cluster of which the site is a node."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.node import chart
from tests.node.scenarios.cluster import ClusterStage
from tests.node.stack import NODE, NodeProcess
from tests.scenarios.conftest import begin_selected
from tests.scenarios.stacks import STACKS
from tests.sites import wait_until
from tests.sites.fixtures import box_site, embedded_site
from tests.testbed.kubernetes import ControlPlane

__all__ = ["box_site", "embedded_site"]

PLAYED = [stack for stack in STACKS if stack.name in ("embedded", "apptainer")]


@pytest.fixture(scope="package", params=PLAYED, ids=lambda stack: stack.name)
def stage(request: pytest.FixtureRequest) -> Iterator[ClusterStage]:
    site = request.getfixturevalue(f"{request.param.site}_site")
    site.patience = 240.0  # the Events of a hundred pods that begin together wait for their turn
    with ControlPlane() as plane:
        node = NodeProcess(plane, site, chart.identity(plane, [NODE]))
        owner = site.state.stat()  # tokens are the gateway's, whoever issues them
        for path in site.state.glob("tokens.*"):
            os.chown(path, owner.st_uid, owner.st_gid)
        node.start()
        try:
            wait_until(lambda: node.lives() and _ready(plane), f"the node is ready:\n{node.said()}", 60)
            with ClusterStage(site, request.param, plane) as stage:
                begin_selected(request, stage)
                yield stage
        finally:
            assert node.stop() == 0, node.said()
        assert "Traceback" not in node.log.read_text(), node.said()


def _ready(plane: ControlPlane) -> bool:
    condition = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"
    return plane.kubectl("get", "nodes", "-o", condition, check=False).stdout == "True"
