"""kill -9 of everything, again and again, under many pods: each ends exactly once, and nothing of it is left."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.faults.chaos import Chaos, Driver
from tests.faults.history import History
from tests.faults.sites import INSIDE, Faulty, farnode, faulty_box, of_attempts
from tests.faults.testimony import Testimony, pod
from tests.sites import BoxSite, GatewaySite, wait_until
from tests.testbed import SiteSpec

POLICIES = ("Never", "Never", "OnFailure")
SETTINGS: Mapping[str, Any] = {"maxAttempts": 4, "shareAcrossOwners": True}


def _bundles(rng: random.Random, count: int, longest: float, testimony: Testimony) -> list[dict[str, Any]]:
    bundles = []
    for number in range(count):
        script = testimony.script(f"sleep {rng.uniform(0, longest):.2f}")
        document = pod(f"chaos-{number}", script, rng.choice(POLICIES), terminationGracePeriodSeconds=2)
        document["metadata"]["uid"] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        bundles.append({"pod": document})
    return bundles


def _uids(bundles: list[dict[str, Any]]) -> dict[str, str]:
    """Restart policies by UID."""
    return {bundle["pod"]["metadata"]["uid"]: bundle["pod"]["spec"]["restartPolicy"] for bundle in bundles}


def _check_ends(site: GatewaySite, policies: Mapping[str, str], history: History, testimony: Testimony) -> None:
    with site.client() as client:
        pods = {one.uid: one for one in client.pods()}
    assert set(pods) == set(policies), "pods were lost or invented"
    history.check()
    testimony.check()
    for uid, policy in policies.items():
        one = pods[uid]
        assert one.ended, f"{one.view}"
        assert history.stories[uid].end == (one.phase, one.reason, one.attempt)
        finished = testimony.finished(uid)
        if one.phase == "Succeeded":
            assert one.attempt in finished, f"succeeded without having come to its end: {one.view}"
        else:
            assert one.reason in ("RunnerLost", "AllocationFailed"), f"{one.view}"
            assert policy == "Never" or one.attempt == 4 or one.reason == "AllocationFailed", f"{one.view}"
        assert policy != "Never" or one.attempt <= 1, f"a pod that never restarts had {one.attempt} attempts"
        earlier = finished - {one.attempt}
        assert len(earlier) <= one.attempt


def _check_nothing_left(site: GatewaySite) -> None:
    wait_until(lambda: not of_attempts(site), "no process of an attempt is left", 30)
    farnode(site, "gateway", "stop", "--all")
    wait_until(lambda: not site.processes(), "no process of ours is left", 60)
    farnode(site, "gateway", "undrain")


def _run(site: GatewaySite, rng: random.Random, bundles: list[dict[str, Any]], deeds: list[str], pause: float,
         testimony: Testimony, scratch: Path, patience: float) -> Chaos:  # fmt: skip
    file = scratch / "bundles.json"
    file.write_text(json.dumps(bundles))
    driver = Driver(site, file)
    policies = _uids(bundles)
    with History(site) as history:
        driver.start()
        with Chaos(site, driver, rng, pause, deeds) as chaos:
            # where all pods have ended there may be no runner left to be killed
            wait_until(lambda: chaos.over or history.ended(policies), "everything was killed", patience)
        wait_until(lambda: site._lives() and history.ended(policies), "every pod ends", patience)
        driver.finish(patience)
        _check_ends(site, policies, history, testimony)
    _check_nothing_left(site)
    return chaos


@pytest.fixture
def embedded() -> Iterator[Faulty]:
    with Faulty(SETTINGS) as site:
        yield site


@pytest.mark.timeout(240)
def test_two_hundred_pods_end_once_each(embedded: Faulty, rng: random.Random, tmp_path: Path) -> None:
    testimony = Testimony.at(tmp_path / "testimony")
    bundles = _bundles(rng, 200, 6, testimony)
    deeds = ["gateway"] * 6 + ["client"] * 4 + ["run"] * 2 + ["supervise"]
    chaos = _run(embedded, rng, bundles, deeds, 1.2, testimony, tmp_path, 90)
    assert chaos.done["run"] + chaos.done["supervise"] > 0, "no runner was there to be killed: the test tested nothing"


@pytest.fixture
def slurm() -> Iterator[BoxSite]:
    settings = {**SETTINGS, "heartbeat": "2s", "fenceAfter": "10m", "settleAfter": "3s", "runtimes": ["process"]}
    with faulty_box(settings, SiteSpec()) as site:
        yield site


@pytest.mark.system
@pytest.mark.timeout(600)
def test_forty_pods_of_slurm_end_once_each(slurm: BoxSite, rng: random.Random, tmp_path: Path) -> None:
    testimony = Testimony(slurm.directory / "testimony", f"{INSIDE}/testimony")
    bundles = _bundles(rng, 40, 5, testimony)
    deeds = ["gateway"] * 5 + ["client"] * 3 + ["run"] * 4 + ["supervise"] * 3
    _run(slurm, rng, bundles, deeds, 3, testimony, tmp_path, 240)
    wait_until(lambda: not slurm.box.run("alice", ["squeue", "--me", "--noheader"]).stdout, "no job is left", 30)
