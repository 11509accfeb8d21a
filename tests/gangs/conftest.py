"""A site of four nodes, each a host with a network of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.sites import faulty_box
from tests.sites import BoxSite
from tests.testbed import SiteSpec

NODES = 4
FENCE = 20.0
SETTINGS = {"heartbeat": "2s", "settleAfter": "3s", "fenceAfter": f"{FENCE:g}s"}


@pytest.fixture(scope="package")
def site() -> Iterator[BoxSite]:
    """For tests marked `system`. A node whose slurmd dies is given up after some 10 s."""
    spec = SiteSpec(nodes=NODES, registry=True, slurmd_timeout=5, extra_conf=("MessageTimeout=3",))
    with faulty_box(SETTINGS, spec) as box:
        yield box
