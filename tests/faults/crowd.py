"""Many pods that bear witness, and what must hold of every one of them whatever was done to the site."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tests.faults.history import History
from tests.faults.sites import farnode, of_attempts
from tests.faults.testimony import Testimony, pod
from tests.sites import GatewaySite, wait_until

POLICIES = ("Never", "Never", "OnFailure")
LOST = ("RunnerLost", "AllocationFailed", "WalltimeExceeded")
"""Reasons of pods that did not end by themselves."""


def bundles(
    rng: random.Random, count: int, longest: float, testimony: Testimony, cpu: str = "100m"
) -> list[dict[str, Any]]:
    """Each sleeps for up to `longest` seconds; UIDs, names and policies are drawn too."""
    found = []
    for number in range(count):
        script = testimony.script(f"sleep {rng.uniform(0, longest):.2f}")
        document = pod(f"crowd-{number}", script, rng.choice(POLICIES), terminationGracePeriodSeconds=2)
        document["metadata"]["uid"] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        document["spec"]["containers"][0]["resources"]["requests"]["cpu"] = cpu
        found.append({"pod": document})
    return found


def policies(bundles: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Restart policies by UID."""
    return {bundle["pod"]["metadata"]["uid"]: bundle["pod"]["spec"]["restartPolicy"] for bundle in bundles}


def check_ends(
    site: GatewaySite, policies: Mapping[str, str], history: History, testimony: Testimony, attempts: int
) -> Counter[tuple[str, str]]:
    """Exactly one end of each, in keeping with its policy and its own testimony; how many ended in which phase and for
    which reason. `attempts`: the site's most."""
    with site.client() as client:
        pods = {one.uid: one for one in client.pods()}
    assert set(pods) == set(policies), "pods were lost or invented"
    history.check()
    testimony.check()
    finished = testimony.finished()
    starts = Counter(line.uid for line in testimony.lines() if line.what == "start")
    for uid, policy in policies.items():
        one = pods[uid]
        assert one.ended, f"{one.view}"
        assert history.stories[uid].end == (one.phase, one.reason, one.attempt)
        if one.phase == "Succeeded":
            assert one.attempt in finished[uid], f"succeeded without having come to its end: {one.view}"
        else:
            assert one.reason in LOST, f"{one.view}"
            assert policy == "Never" or one.attempt == attempts or one.reason == "AllocationFailed", f"{one.view}"
        assert policy != "Never" or starts[uid] <= 1, f"a pod that never restarts began {starts[uid]} times: {one.view}"
    return Counter((one.phase, one.reason) for one in pods.values())


def check_nothing_left(site: GatewaySite) -> None:
    wait_until(lambda: not of_attempts(site), "no process of an attempt is left", 30)
    farnode(site, "gateway", "stop", "--all")
    wait_until(lambda: not site.processes(), "no process of ours is left", 60)
    farnode(site, "gateway", "undrain")
