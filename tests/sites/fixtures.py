"""Fixtures of whole sites, for a conftest to import: `from tests.sites.fixtures import box_site, embedded_site`.

A site ends with its package: tests of the runner, which run one in the tests' own process, take all children of that
process for what their containers left. So a module must not import them: there is no package of such a fixture then,
and it would last as long as the session.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sites.box import BoxSite
from tests.sites.embedded import EmbeddedSite
from tests.testbed import SiteSpec, SlurmSite, free_index

NOT_OF_A_PACKAGE = "a conftest has to import this fixture"


@pytest.fixture(scope="package")
def embedded_site(request: pytest.FixtureRequest) -> Iterator[EmbeddedSite]:
    assert isinstance(request.node, pytest.Package), NOT_OF_A_PACKAGE
    with EmbeddedSite() as site:
        yield site


@pytest.fixture(scope="package")
def box_site(request: pytest.FixtureRequest) -> Iterator[BoxSite]:
    """For tests marked `system`."""
    assert isinstance(request.node, pytest.Package), NOT_OF_A_PACKAGE
    with SlurmSite(SiteSpec(index=free_index(), registry=True)) as box, BoxSite(box) as site:
        yield site
