"""Fixtures of whole sites, for a conftest to import: `from tests.sites.fixtures import box_site, embedded_site`.

A site ends with its package: tests of the runner, which run one in the tests' own process, take all children of that
process for what their containers left.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sites.box import BoxSite
from tests.sites.embedded import EmbeddedSite
from tests.testbed import SiteSpec, SlurmSite, free_index


@pytest.fixture(scope="package")
def embedded_site() -> Iterator[EmbeddedSite]:
    with EmbeddedSite() as site:
        yield site


@pytest.fixture(scope="package")
def box_site() -> Iterator[BoxSite]:
    """For tests marked `system`."""
    with SlurmSite(SiteSpec(index=free_index(), registry=True)) as box, BoxSite(box) as site:
        yield site
