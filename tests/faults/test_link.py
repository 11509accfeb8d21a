"""A connection that breaks ends nothing: the pod goes on, and what it did meanwhile is told afterwards."""

from __future__ import annotations

import httpx
import pytest

from tests.faults.sites import INSIDE, node_of
from tests.faults.testimony import Testimony, pod
from tests.sites import BoxSite, wait_until

pytestmark = pytest.mark.system

TICKING = """\
i=0
while [ ! -e {stop} ]; do i=$((i+1)); echo "tick $FARNODE_ATTEMPT" >&3; echo line $i; sleep 0.1; done"""
LONG = 600
"""Ticks, more than 60 s: what a cut goes on for after the runner has noticed it."""


def _noticed(box: BoxSite, nonce: str) -> bool:
    return "nothing heard for" in (box.spool / "allocations" / nonce / "job.out").read_text()


@pytest.mark.timeout(400)
def test_a_cut_link_is_nothing_to_a_pod(box: BoxSite) -> None:
    stop = box.directory / "stop"
    testimony = Testimony(box.directory / "cut", f"{INSIDE}/cut")
    script = testimony.script(TICKING.format(stop=f"{INSIDE}/stop"))
    with box.client() as client:
        (ticking,) = client.submit(pod("ticking", script))
        (brief,) = client.submit(pod("brief", f"while [ ! -e {INSIDE}/brief ]; do sleep 0.1; done; echo done; exit 3"))
        wait_until(lambda: client.pod(ticking).phase == client.pod(brief).phase == "Running", "both run", 60)
        nodes = {node_of(client, one) for one in (ticking, brief)}
        before = client.pod(ticking)
        for node in nodes:
            box.box.cut(node)
        try:
            for one in (ticking, brief):
                nonce = client.pod(one).allocation["nonce"]
                wait_until(lambda nonce=nonce: _noticed(box, nonce), "the runner misses its gateway", 60)
            (box.directory / "brief").touch()
            then = testimony.count("tick", ticking.uid)
            wait_until(lambda: testimony.count("tick", ticking.uid) > then + LONG, "the pod goes on", 150)
            during = client.pod(ticking)
            assert (during.phase, during.attempt, during.ended) == ("Running", 1, False)
            assert client.pod(brief).phase == "Running", "nobody can know of its end yet"
        finally:
            for node in nodes:
                box.box.mend(node)
        ended = client.wait(brief)
        assert (ended.phase, ended.attempt, ended.exit_code()) == ("Failed", 1, 3)
        assert b"".join(client.logs(brief)) == b"done\n"
        stop.touch()
        ended = client.wait(ticking)
        assert (ended.phase, ended.attempt, ended.restarts) == ("Succeeded", 1, 0)
        assert ended.status["startTime"] == before.status["startTime"]
        lines = b"".join(client.logs(ticking)).decode().splitlines()
    testimony.check()
    ticks = testimony.count("tick", ticking.uid)
    assert ticks > LONG
    assert lines == [f"line {number}" for number in range(1, ticks + 1)]


@pytest.mark.timeout(240)
def test_a_reader_is_told_when_the_runner_is_away(box: BoxSite) -> None:
    """A request for what only the runner has fails in words, or is answered once it is back; it never hangs."""
    with box.client(patience=2) as client:
        (silent,) = client.submit(pod("silent", f"echo here; while [ ! -e {INSIDE}/go ]; do sleep 0.1; done"))
        wait_until(lambda: client.pod(silent).phase == "Running", "it runs", 60)
        node = node_of(client, silent)
        box.box.cut(node)
        try:
            wait_until(lambda: _refused(box, silent.uid), "a log request is refused", 60)
        finally:
            box.box.mend(node)
        wait_until(lambda: not _refused(box, silent.uid), "the log can be read again", 60)
        (box.directory / "go").touch()
        assert client.wait(silent).succeeded


def _refused(box: BoxSite, uid: str) -> bool:
    token = box.token("alice").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(transport=httpx.HTTPTransport(uds=box.url.removeprefix("unix:")), timeout=5) as http:
        try:
            answer = http.get(f"http://gateway/v1/pods/{uid}/logs/main", headers=headers)
        except (httpx.TimeoutException, httpx.RemoteProtocolError):  # asked before anybody could know; cut off
            return False
    if answer.status_code == 200:
        assert answer.text == "here\n"
        return False
    assert answer.status_code == 503
    assert "not connected" in answer.json()["error"]["message"]
    return True
