from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kubelet.kubelet import Kubelet


@pytest.fixture(scope="session")
def kubelet() -> Iterator[Kubelet]:
    """For tests marked `system`: its first build takes minutes."""
    with Kubelet() as running:
        yield running
