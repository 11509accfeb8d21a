"""A real control plane for the tests of this directory, and a whole cluster. They end with the package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.kubectl import Kubectl
from tests.node.stack import Stack
from tests.testbed.kubernetes import ControlPlane


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


HERE = Path(__file__).parent
BUILDING = 900.0
"""Seconds for a test here that has no limit of its own: the first on a machine waits until Kubernetes is built."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("system") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(BUILDING))


@pytest.fixture(scope="package")
def plane() -> Iterator[ControlPlane]:
    """For tests marked `system`: its first build takes minutes."""
    with ControlPlane() as plane:
        yield plane


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    """For tests marked `system`, with a control plane of its own: there is no node but the site's."""
    with Stack() as stack:
        yield stack


@pytest.fixture(scope="package")
def plain_stack() -> Iterator[Stack]:
    """As `stack`, but the API server speaks SPDY to the node and verifies its certificate."""
    with Stack(plain=True) as stack:
        yield stack


@pytest.fixture
def kubectl(stack: Stack) -> Kubectl:
    """In a namespace of its own."""
    return stack.namespace()


@pytest.fixture(params=["stack", "plain_stack"], ids=["websocket", "spdy"])
def streaming(request: pytest.FixtureRequest) -> Kubectl:
    """In a namespace of its own, of each kind of cluster that streams differ in."""
    stack: Stack = request.getfixturevalue(request.param)
    return stack.namespace()
