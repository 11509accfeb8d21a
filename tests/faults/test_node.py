"""A node that the batch system gives up although its runner lives: no re-run starts beside the old attempt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from farnode import Client, Pod
from tests.faults.sites import INSIDE, faulty_box, node_of
from tests.faults.testimony import Testimony, pod
from tests.sites import BoxSite, wait_until
from tests.testbed import SiteSpec, TestbedError

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SOON = SiteSpec(nodes=2, slurmd_timeout=5, extra_conf=("MessageTimeout=3",))
"""A dead slurmd is NODE_FAIL after some 10 s."""
TICKING = 'while [ ! -e {stop} ]; do echo "tick $FARNODE_ATTEMPT" >&3; sleep 0.1; done'


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Iterator[BoxSite]:
    settings = {"heartbeat": "2s", "settleAfter": "3s", "runtimes": ["process"], "fenceAfter": request.param}
    with faulty_box(settings, SOON) as box:
        yield box


class Patient:
    """A ticking pod that is run again when its node is lost."""

    def __init__(self, site: BoxSite, client: Client) -> None:
        self.site, self.client = site, client
        self.testimony = Testimony(site.directory / "ticks", f"{INSIDE}/ticks")
        script = self.testimony.script(TICKING.format(stop=f"{INSIDE}/stop"))
        (self.pod,) = client.submit(pod("patient", script, "OnFailure", terminationGracePeriodSeconds=60))
        wait_until(lambda: self.testimony.count("tick", self.pod.uid) > 3, "it ticks", 60)

    @property
    def now(self) -> Pod:
        return self.client.pod(self.pod)

    def node(self) -> int:
        return node_of(self.client, self.pod)

    def ticks(self, attempt: int) -> int:
        return sum(line.what == "tick" and line.attempt == attempt for line in self.testimony.lines())

    def finish(self) -> None:
        (self.site.directory / "stop").touch()
        ended = self.client.wait(self.pod)
        assert (ended.phase, ended.attempt) == ("Succeeded", 2)
        assert ended.restarts == 1
        assert self.testimony.finished()[ended.uid] == {2}
        self.testimony.check()


def _given_up(patient: Patient) -> bool:
    allocation: dict[str, Any] = dict(patient.now.allocation)
    return allocation.get("phase") == "ended"


@pytest.mark.parametrize("site", ["20s"], indirect=True)
def test_a_rerun_waits_until_an_unheard_runner_has_fenced_itself(site: BoxSite) -> None:
    with site.client() as client:
        patient = Patient(site, client)
        node = patient.node()
        site.box.cut(node)
        site.box.kill_slurmd(node)
        try:
            wait_until(lambda: _given_up(patient), "Slurm gives the node up", 60)
            assert patient.now.attempt == 1
            beyond = patient.ticks(1)
            wait_until(lambda: patient.ticks(1) > beyond + 5, "it goes on although Slurm calls it dead", 15)
            assert patient.now.attempt == 1
            wait_until(lambda: patient.ticks(2) > 3, "the next attempt runs", 90)
        finally:
            _repair(site, node)
        patient.finish()


@pytest.mark.parametrize("site", ["10m"], indirect=True)
def test_a_runner_that_is_heard_is_told_to_end_at_once(site: BoxSite) -> None:
    with site.client() as client:
        patient = Patient(site, client)
        node = patient.node()
        site.box.kill_slurmd(node)
        try:
            wait_until(lambda: patient.ticks(2) > 3, "the next attempt runs long before the fence", 60)
        finally:
            _repair(site, node)
        patient.finish()


def _repair(site: BoxSite, node: int) -> None:
    site.box.mend(node)
    with suppress(TestbedError):  # it lives
        site.box.start_slurmd(node)
