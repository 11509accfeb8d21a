"""What people see of a real site with pilots: use, waits, node-hours and their cap, metrics."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.client.live import program, running
from tests.sites import EmbeddedSite, wait_until

CAP = 0.001
"""Node-hours of a day: 3.6 seconds."""


@pytest.fixture(scope="module")
def site() -> Iterator[EmbeddedSite]:
    provider = {"kind": "local", "cores": 16, "memory": "16Gi", "standing": False}
    settings = {"provider": provider, "pilots": {"cores": 4}, "quotas": {"nodeHoursPerDay": CAP}}
    with EmbeddedSite({**settings, "shareAcrossOwners": False}, gpus=0) as site:
        yield site


def told(site: EmbeddedSite, *words: str, owner: str = "admin") -> str:
    entry = {"name": "here", "url": site.url, "tokenFile": str(site.token(owner))}
    config = site.directory / f"{owner}.yaml"
    config.write_text(json.dumps({"default": "here", "sites": [entry]}))
    command = site.command(*words, "--config", str(config))
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def metrics(site: EmbeddedSite) -> dict[str, float]:
    headers = {"authorization": f"Bearer {site.token('admin').read_text().strip()}"}
    transport = httpx.HTTPTransport(uds=site.url.removeprefix("unix:"))
    with httpx.Client(transport=transport, base_url="http://gateway", headers=headers) as http:
        text = http.get("/metrics").text
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def filling(name: str, *command: str) -> dict[str, Any]:
    """A pod as large as a pilot."""
    return program(name, *command, resources={"requests": {"cpu": "4", "memory": "64Mi"}})


def test_the_story_of_an_owner_who_has_used_up_the_day(site: EmbeddedSite) -> None:
    with site.client("alice") as alice, site.client("bob") as bob:
        pod = running(alice, filling("first", "sleep", "600"))
        wait_until(lambda: alice.site()["nodeHours"]["today"].get("alice", 0.0) > CAP, "the day is used up")
        (second,) = alice.submit(filling("second", "true"))
        words = r"owner alice has used 0\.\d of 0\.001 node-hours today; new allocations begin after midnight UTC"
        wait_until(lambda: re.search(words, alice.pod(second.uid).message), "the second hears of it")

        shown = told(site, "top", "--once", "--pods")
        assert re.search(r"^allocations: 1 running; pods: 1 bound, 1 waiting$", shown, re.MULTILINE)
        assert re.search(r"pilot +local +\S+ +running .* 4/4 .* 1 +alice", shown)
        assert re.search(rf"^1 +\d+s +{words}$", shown, re.MULTILINE)
        assert re.search(r"^default/first ", shown, re.MULTILINE)
        assert re.search(r"^node-hours today: alice 0\.\d of 0\.001$", shown, re.MULTILINE)
        described = told(site, "describe", "second", owner="alice")
        assert re.search(rf"For: +{words}", described)
        assert re.search(r"Pilots: +1 running", described)
        assert re.search(r"Kind: +pilot", told(site, "describe", "first", owner="alice"))
        assert "alice" not in told(site, "top", "--once", "--pods", owner="bob")

        assert bob.run(filling("other", "true")).succeeded  # the cap is each owner's own
        before = metrics(site)
        assert before['farnode_pods_waiting{reason="room"}'] == 1
        assert before["farnode_queue_wait_seconds_count"] == before["farnode_pod_start_seconds_count"] == 2
        alice.delete([pod, second], grace=0)
        alice.wait(pod)
        wait_until(lambda: metrics(site)['farnode_idle_node_seconds_total{owner="alice"}'] > 0, "the pilot is idle")
        assert re.search(r"idle for \d+s", told(site, "top", "--once", owner="alice"))
        after, spent = metrics(site), 'farnode_node_seconds_total{owner="alice"}'
        assert all(after[name] >= value for name, value in before.items() if "_total" in name or "_bucket" in name)
        site.kill()
        site.start()
        assert metrics(site)[spent] >= after[spent] > CAP * 3600
