"""kill -9 of everything, again and again, under many pods: each ends exactly once, and nothing of it is left."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.chaos import Chaos, Driver, kills
from tests.faults.crowd import bundles, check_ends, check_nothing_left, policies
from tests.faults.history import History
from tests.faults.sites import INSIDE, Faulty, faulty_box
from tests.faults.testimony import Testimony
from tests.sites import BoxSite, GatewaySite, wait_until
from tests.testbed import SiteSpec

ATTEMPTS = 4
SETTINGS: Mapping[str, Any] = {"maxAttempts": ATTEMPTS, "shareAcrossOwners": True}


def _run(site: GatewaySite, rng: random.Random, crowd: Sequence[Any], deeds: list[str], pause: float,
         testimony: Testimony, scratch: Path, patience: float) -> Chaos:  # fmt: skip
    file = scratch / "bundles.json"
    file.write_text(json.dumps(crowd))
    driver = Driver(site, file)
    everyone = policies(crowd)
    with History(site) as history:
        driver.start()
        with Chaos(kills(site, driver, rng), deeds, rng, pause) as chaos:
            # where all pods have ended there may be no runner left to be killed
            wait_until(lambda: chaos.over or history.ended(everyone), "everything was killed", patience)
        wait_until(lambda: site._lives() and history.ended(everyone), "every pod ends", patience)
        driver.finish(patience)
        check_ends(site, everyone, history, testimony, ATTEMPTS)
    check_nothing_left(site)
    return chaos


@pytest.fixture
def embedded() -> Iterator[Faulty]:
    with Faulty(SETTINGS) as site:
        yield site


@pytest.mark.timeout(240)
def test_two_hundred_pods_end_once_each(embedded: Faulty, rng: random.Random, tmp_path: Path) -> None:
    testimony = Testimony.at(tmp_path / "testimony")
    crowd = bundles(rng, 200, 6, testimony)
    deeds = ["gateway"] * 6 + ["client"] * 4 + ["run"] * 2 + ["supervise"]
    chaos = _run(embedded, rng, crowd, deeds, 1.2, testimony, tmp_path, 90)
    assert chaos.done["run"] + chaos.done["supervise"] > 0, "no runner was there to be killed: the test tested nothing"


@pytest.fixture
def slurm() -> Iterator[BoxSite]:
    """Each pod is a batch job of its own."""
    short = {"heartbeat": "2s", "fenceAfter": "10m", "settleAfter": "3s", "runtimes": ["process"]}
    with faulty_box({**SETTINGS, **short, "pilots": {"enabled": False}}, SiteSpec()) as site:
        yield site


@pytest.mark.system
@pytest.mark.timeout(600)
def test_forty_jobs_of_slurm_end_once_each(slurm: BoxSite, rng: random.Random, tmp_path: Path) -> None:
    testimony = Testimony(slurm.directory / "testimony", f"{INSIDE}/testimony")
    crowd = bundles(rng, 40, 5, testimony)
    deeds = ["gateway"] * 5 + ["client"] * 3 + ["run"] * 4 + ["supervise"] * 3
    _run(slurm, rng, crowd, deeds, 3, testimony, tmp_path, 240)
    wait_until(lambda: not slurm.box.run("alice", ["squeue", "--me", "--noheader"]).stdout, "no job is left", 30)
