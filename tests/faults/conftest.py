"""The sites these tests break: each test gets its own, for what one does to a site must not reach the next."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Iterator

import pytest

from tests.faults.sites import faulty_box
from tests.sites import BoxSite
from tests.testbed import SiteSpec


@pytest.fixture
def rng() -> random.Random:
    """Its seed is in the failure's output; FARNODE_SEED repeats it."""
    seed = os.environ.get("FARNODE_SEED") or secrets.token_hex(4)
    print(f"FARNODE_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="module")
def box() -> Iterator[BoxSite]:
    """Slurm in a box with short intervals; nothing in it dies unless a test kills it."""
    settings = {"heartbeat": "2s", "fenceAfter": "10m", "settleAfter": "3s", "runtimes": ["process"]}
    with faulty_box(settings, SiteSpec(slurmd_timeout=600)) as site:
        yield site
