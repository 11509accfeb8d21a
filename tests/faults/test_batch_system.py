"""A batch system that fails, hangs, lies or is away: no pod is lost, none runs twice, and users read why they wait.

Each pod is a batch job of its own, so that each submission is that of one pod.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from farnode import Client, Pod
from farnode.model.allocation import base_of
from tests.faults.sites import INSIDE
from tests.faults.testimony import Testimony, pod
from tests.faults.wrapped import Wrapped
from tests.sites import wait_until
from tests.sites.box import PROVIDER
from tests.testbed import SiteSpec, SlurmSite, free_index

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SETTINGS = {
    "heartbeat": "2s",
    "fenceAfter": "10m",
    "settleAfter": "3s",
    "runtimes": ["process"],
    "provider": {**PROVIDER, "commandTimeout": 4},
    "pilots": {"enabled": False},
}


@pytest.fixture(scope="module")
def site() -> Iterator[Wrapped]:
    with SlurmSite(SiteSpec(index=free_index(), slurmd_timeout=600)) as box, Wrapped(box, SETTINGS) as site:
        yield site


@pytest.fixture
def testimony(site: Wrapped, request: pytest.FixtureRequest) -> Testimony:
    name = request.node.name.translate(str.maketrans("[]-", "___"))
    return Testimony(site.directory / name, f"{INSIDE}/{name}")


@pytest.fixture
def client(site: Wrapped) -> Iterator[Client]:
    with site.client() as client:
        yield client


def _check_once(site: Wrapped, ended: Pod, testimony: Testimony) -> None:
    assert (ended.phase, ended.attempt) == ("Succeeded", 1), ended.view
    assert testimony.count("start", ended.uid) == testimony.count("end", ended.uid) == 1
    testimony.check()
    names = Counter(site.jobs())
    assert names[f"farnode-{base_of(ended.allocation['nonce'])}"] == 1
    assert not [name for name, count in names.items() if count > 1], names


@pytest.mark.parametrize("mode", ["lost", "hang", "crash"])
def test_a_submission_that_did_nothing_is_made_again(
    site: Wrapped, client: Client, testimony: Testimony, mode: str
) -> None:
    before = len(site.calls("sbatch"))
    site.sbatch_does(mode)
    (submitted,) = client.submit(pod(mode, testimony.script("true")))
    wait_until(lambda: len(site.calls("sbatch")) >= before + 2, "it was tried again", 60)
    assert client.pod(submitted).phase == "Pending"
    site.sbatch_does("")
    _check_once(site, client.wait(submitted), testimony)


@pytest.mark.parametrize("mode", ["hang-after", "crash-after", "silent", "noise"])
def test_a_submission_whose_answer_is_lost_is_not_made_again(
    site: Wrapped, client: Client, testimony: Testimony, mode: str
) -> None:
    before = len(site.calls("sbatch"))
    site.sbatch_does(mode)
    (submitted,) = client.submit(pod(mode, testimony.script("sleep 1")))
    ended = client.wait(submitted)
    site.sbatch_does("")
    _check_once(site, ended, testimony)
    assert len(site.calls("sbatch")) == before + 1


def test_a_gateway_killed_while_sbatch_hangs_finds_the_job_it_asked_for(
    site: Wrapped, client: Client, testimony: Testimony
) -> None:
    before = len(site.calls("sbatch"))
    site.sbatch_does("hang-after")
    (submitted,) = client.submit(pod("orphan", testimony.script("true")))
    wait_until(lambda: len(site.calls("sbatch")) > before, "sbatch was called", 30)
    site.kill()
    site.sbatch_does("")
    site.start()
    _check_once(site, client.wait(submitted), testimony)
    assert len(site.calls("sbatch")) == before + 1


def test_words_of_a_refusal_reach_the_pod(site: Wrapped, client: Client, testimony: Testimony) -> None:
    site.sbatch_does("limit")
    (submitted,) = client.submit(pod("limit", testimony.script("true")))
    wait_until(lambda: "limit" in client.pod(submitted).message, "its message says why it waits", 30)
    refused = client.pod(submitted)
    assert refused.phase == "Pending"
    assert any(note["reason"] == "FailedScheduling" for note in refused.notes)
    site.sbatch_does("")
    _check_once(site, client.wait(submitted), testimony)


def test_pods_go_on_while_squeue_fails(site: Wrapped, client: Client, testimony: Testimony) -> None:
    running = f"while [ ! -e {INSIDE}/leave ]; do sleep 0.1; done"
    (early,) = client.submit(pod("early", testimony.script(running)))
    wait_until(lambda: testimony.count("start", early.uid), "it runs", 60)
    site.squeue_is_down(True)
    try:
        # While its runner is heard it is asked for safety only, every 40 s here.
        wait_until(lambda: "squeue" in client.site().get("problem", ""), "the site says what is wrong", 60)
        (late,) = client.submit(pod("late", testimony.script("true")))
        (site.directory / "leave").touch()
        ended = client.wait(early), client.wait(late)
        assert "squeue" in client.site().get("problem", "")
    finally:
        site.squeue_is_down(False)
    wait_until(lambda: client.site()["healthy"], "the site is well again", 30)
    for one in ended:
        _check_once(site, one, testimony)


@pytest.mark.parametrize("fault", ["stopped", "hanging"])
def test_slurmctld_away(site: Wrapped, client: Client, testimony: Testimony, fault: str) -> None:
    box = site.box
    stopped = fault == "stopped"
    running = f"while [ ! -e {INSIDE}/{fault} ]; do sleep 0.1; done"
    (early,) = client.submit(pod("early", testimony.script(running)))
    wait_until(lambda: testimony.count("start", early.uid), "it runs", 60)
    box.stop_slurmctld() if stopped else box.pause_slurmctld()
    try:
        (late,) = client.submit(pod("late", testimony.script("true")))
        wait_until(lambda: client.site().get("problem"), "the site says what is wrong", 30)
        (site.directory / fault).touch()
        wait_until(lambda: client.pod(early).ended, "the running pod ends as if nothing were", 30)
        assert client.pod(late).phase == "Pending"
    finally:
        box.start_slurmctld() if stopped else box.resume_slurmctld()
    for one in (early, late):
        _check_once(site, client.wait(one), testimony)
    wait_until(lambda: client.site()["healthy"], "the site is well again", 60)
