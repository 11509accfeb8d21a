"""Clusters that are broken on purpose: each module has its own, for what one does to it must not reach the next."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Iterator

import pytest

from tests.node.faults.cluster import Cluster, Terms

TOLERATED = 3
"""Seconds that pods tolerate a node that is not there, where nobody says otherwise."""


@pytest.fixture
def rng() -> random.Random:
    """Its seed is in the failure's output; FARNODE_SEED repeats it."""
    seed = os.environ.get("FARNODE_SEED") or secrets.token_hex(4)
    print(f"FARNODE_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="module")
def strict() -> Iterator[Cluster]:
    """Who is not heard of for 20 s is given up, and its pods are evicted 3 s later."""
    options = [f"--default-{what}-toleration-seconds={TOLERATED}" for what in ("not-ready", "unreachable")]
    controllers = ["--node-monitor-grace-period=20s", "--node-monitor-period=1s", "--node-eviction-rate=100"]
    with Cluster(Terms(options, controllers)) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def pair() -> Iterator[Cluster]:
    """Two node processes, of which one acts."""
    with Cluster(Terms(node={"election": {"namespace": "kube-system"}}, replicas=2)) as cluster:
        yield cluster
