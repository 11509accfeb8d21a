from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.node.kubelet.serving import Serving, serving
from tests.sites import EmbeddedSite
from tests.sites.fixtures import embedded_site
from tests.testbed.kubernetes.authority import Authority

__all__ = ["embedded_site"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="package")
def authority() -> Iterator[Authority]:
    """Has issued `kubelet` for 127.0.0.1, and `apiserver`."""
    with tempfile.TemporaryDirectory() as directory:
        authority = Authority(Path(directory))
        authority.issue("kubelet", "system:node:site", ["system:nodes"], ["127.0.0.1"])
        authority.issue("apiserver", "kube-apiserver-kubelet-client", ["system:masters"])
        yield authority


@pytest.fixture
async def kubelet(embedded_site: EmbeddedSite, authority: Authority) -> AsyncIterator[Serving]:
    async with serving(embedded_site, authority) as kubelet:
        yield kubelet
