"""Limits hold, the runner lives, and a neighbour on the same runner ends in order, whatever the others take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from farnode import Pod
from tests.faults.hogs import HOGS, LIMITS, LOG_FILES, LOG_SIZE, gaps, log_bytes, neighbour
from tests.sites import EmbeddedSite

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def site() -> Iterator[EmbeddedSite]:
    with EmbeddedSite({"limits": LIMITS}) as site:
        yield site


@pytest.fixture(scope="module")
def ended(site: EmbeddedSite) -> Mapping[str, Pod]:
    """All of them together in one runner, to their end."""
    with site.client() as client:
        pods = client.submit(site.fitted([neighbour(8), *HOGS.values()], "process"))
        runners = {one.pid for one in site.processes() if one.is_runner}
        found = {pod.name: client.wait(pod) for pod in pods}
        assert runners <= {one.pid for one in site.processes() if one.is_runner}
    return found


def end_of(pod: Pod) -> tuple[int, str]:
    state = pod.container_statuses["main"]["state"]["terminated"]
    return state["exitCode"], state["reason"]


@pytest.mark.parametrize("name", ["memory-hog", "many-small-hogs"])
def test_who_takes_too_much_memory_is_killed(ended: Mapping[str, Pod], name: str) -> None:
    assert end_of(ended[name]) == (137, "OOMKilled")


def test_a_fork_bomb_is_put_out(site: EmbeddedSite, ended: Mapping[str, Pod]) -> None:
    assert end_of(ended["fork-bomb"])[0] == 137
    assert not [one for one in site.processes() if not one.is_runner and "os.fork()" in " ".join(one.cmdline)]


def test_a_flood_leaves_its_end(site: EmbeddedSite, ended: Mapping[str, Pod]) -> None:
    assert end_of(ended["log-flood"]) == (0, "Completed")
    assert LOG_SIZE / 2 < log_bytes(site, ended["log-flood"].uid) <= (LOG_SIZE + (1 << 16)) * LOG_FILES


def test_the_neighbour_ends_in_order(site: EmbeddedSite, ended: Mapping[str, Pod]) -> None:
    assert end_of(ended["neighbour"]) == (0, "Completed")
    with site.client() as client:
        assert sum(gaps(client, ended["neighbour"])) >= 7900
