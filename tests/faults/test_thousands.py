"""Two thousand pods through a handful of batch jobs, with the call budget of the strictest site known: in peace, and
while all that can break breaks."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.calls import Call, check_budget
from tests.faults.chaos import Chaos, Driver, kills
from tests.faults.crowd import bundles, check_ends, check_nothing_left, policies
from tests.faults.history import History
from tests.faults.outages import Outages
from tests.faults.sites import INSIDE
from tests.faults.testimony import Testimony
from tests.faults.wrapped import Wrapped
from tests.sites import wait_until
from tests.testbed import SiteSpec, SlurmSite, free_index

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

PODS = 2000
ATTEMPTS = 4
BURST, PER_MINUTE = 40, 4
FEW = 20
"""Commands for all of them, the inventory included."""
SETTINGS: Mapping[str, Any] = {
    "heartbeat": "2s",
    "fenceAfter": "30s",
    "settleAfter": "3s",
    "maxAttempts": ATTEMPTS,
    "runtimes": ["process"],
    "provider": {"kind": "slurm", "burst": BURST, "callsPerMinute": PER_MINUTE},
    "pilots": {"idleAfter": "5s"},
}


@pytest.fixture
def site() -> Iterator[Wrapped]:
    """A slurmd that is dead is noticed after some 10 s."""
    spec = SiteSpec(index=free_index(), nodes=4, slurmd_timeout=5, extra_conf=("MessageTimeout=3",))
    with SlurmSite(spec) as box, Wrapped(box, SETTINGS) as site:
        yield site


@pytest.fixture
def testimony(site: Wrapped) -> Testimony:
    return Testimony(site.directory / "testimony", f"{INSIDE}/testimony")


def _handed_in(site: Wrapped, crowd: Sequence[Any], scratch: Path) -> Driver:
    file = scratch / "bundles.json"
    file.write_text(json.dumps(crowd))
    driver = Driver(site, file)
    driver.start()
    return driver


def _by_command(calls: Sequence[Call]) -> dict[str, int]:
    commands = [call.command for call in calls]
    return {command: commands.count(command) for command in sorted(set(commands))}


def test_in_peace(site: Wrapped, testimony: Testimony, rng: random.Random, tmp_path: Path) -> None:
    """Few commands, few jobs; and when nobody needs the pilots any more they go by themselves."""
    crowd = bundles(rng, PODS, 0, testimony)
    everyone = policies(crowd)
    with History(site) as history:
        began = time.monotonic()
        _handed_in(site, crowd, tmp_path).finish(240)
        seconds = time.monotonic() - began
        wait_until(lambda: history.ended(everyone), "every end is heard of", 30)
        ends = check_ends(site, everyone, history, testimony, ATTEMPTS)
    wait_until(lambda: not site.queue("%i"), "idle pilots are given back", 60)
    print(f"{PODS} pods in {seconds:.1f} s, {len(set(site.jobs()))} submissions, {_by_command(site.calls())}")
    assert ends == {("Succeeded", ""): PODS}
    assert len(site.calls()) <= FEW
    assert not site.calls("scancel")
    assert not site.processes()


def test_while_all_breaks(site: Wrapped, testimony: Testimony, rng: random.Random, tmp_path: Path) -> None:
    crowd = bundles(rng, PODS, 8, testimony, cpu="400m")
    everyone = policies(crowd)
    with History(site) as history, Outages(site, rng) as outages:
        driver = _handed_in(site, crowd, tmp_path)
        wait_until(lambda: len(testimony.lines()) > 100, "many run", 60)
        acts = {**kills(site, driver, rng), **outages.acts}
        with Chaos(acts, [*acts, "gateway", "run"], rng, 6) as chaos:
            wait_until(lambda: chaos.over, "everything was broken", 240)
        assert not history.ended(everyone), "pods ended before all was broken: the test tested too little"
        wait_until(lambda: site._lives() and history.ended(everyone), "every pod ends", 240)
        driver.finish(60)
        ends = check_ends(site, everyone, history, testimony, ATTEMPTS)
    check_budget(site.calls(), BURST, PER_MINUTE)
    starts = sum(line.what == "start" for line in testimony.lines())
    print(f"{dict(chaos.done)}, {dict(ends)}, {starts} starts, {_by_command(site.calls())}")
    check_nothing_left(site)
    wait_until(lambda: not site.queue("%i"), "no job is left", 30)
