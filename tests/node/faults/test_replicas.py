"""Two node processes, of which one acts: when it dies, or only seems to, the other one goes on where it was."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.testimony import Testimony
from tests.node.faults.cluster import Cluster, plain
from tests.node.stack import NODE, NodeProcess
from tests.sites.site import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

Json = dict[str, Any]
PATIENCE = 60.0
TAKEN_OVER = 15.0
"""Seconds within which another process acts."""


def acting(cluster: Cluster) -> NodeProcess | None:
    """The one that the API server asks for logs and exec."""
    endpoint = cluster.node()["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    return next((node for node in cluster.nodes if node.port == endpoint), None)


def both(cluster: Cluster) -> tuple[NodeProcess, NodeProcess]:
    """Who leads, and who waits to."""
    old = acting(cluster)
    assert old is not None
    new = next(node for node in cluster.nodes if node is not old)
    wait_until(lambda: new.lives() and listens(new), "it waits", PATIENCE)
    return old, new


def listens(node: NodeProcess) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((node.address, node.port)) == 0


def taken_over(cluster: Cluster, since: float, by: NodeProcess) -> float:
    """Seconds it took."""
    wait_until(lambda: by.lives() and acting(cluster) is by, f"the other one acts:\n{by.said()}", PATIENCE)
    return time.monotonic() - since


def check_once(testimony: Testimony, uids: Iterable[str]) -> None:
    """Each began once and came to its end; none of the others began twice."""
    starts = Counter(line.uid for line in testimony.lines() if line.what == "start")
    assert set(starts.values()) == {1}, starts
    assert set(uids) <= testimony.finished().keys() & starts.keys()


def test_another_process_takes_over_when_the_leader_is_killed(pair: Cluster, tmp_path: Path) -> None:
    """Pods from before, from meanwhile and from afterwards; some are deleted while nobody leads."""
    testimony, stop = Testimony.at(tmp_path / "testimony"), tmp_path / "stop"
    old, new = both(pair)
    forever = testimony.script(f"while [ ! -e {stop} ]; do sleep 0.5; done")
    before = pair.administrator.create(plain(f"before-{number}", forever, nodeName=NODE) for number in range(20))
    wait_until(lambda: pair.phases() == {"Running"}, "they run", PATIENCE)
    ends = pair.administrator.create([plain("ends", testimony.script("sleep 2"), nodeName=NODE)])
    since = time.monotonic()
    old.kill()
    gentle, forced = list(before.values())[:3], list(before.values())[3:6]
    pair.administrator.delete(gentle)
    pair.administrator.delete(forced, grace=0)
    during = pair.administrator.create(plain(f"during-{number}", testimony.script("true")) for number in range(5))
    took = taken_over(pair, since, new)
    print(f"taken over after {took:.1f} s")
    assert took < TAKEN_OVER
    left = {uid: made for uid, made in before.items() if made not in gentle + forced}
    assert pair.kubectl("exec", next(iter(left.values()))["metadata"]["name"], "--", "echo", "hi").stdout == "hi\n"
    old.start()
    expected = left.keys() | ends.keys() | during.keys()
    wait_until(lambda: pair.at_site().keys() == expected == pair.administrator.pods().keys(), "no other", PATIENCE)
    stop.touch()
    wait_until(lambda: pair.phases() == {"Succeeded"}, "they end", PATIENCE)
    check_once(testimony, expected)
    pair.clear()


def test_who_is_told_to_stop_hands_over_at_once(pair: Cluster) -> None:
    old, new = both(pair)
    since = time.monotonic()
    assert old.stop() == 0
    took = taken_over(pair, since, new)
    print(f"handed over after {took:.1f} s")
    assert took < 8
    old.start()


def test_a_leader_that_was_frozen_leads_no_more(pair: Cluster, tmp_path: Path) -> None:
    """Nor does it write anything: the API server asks the new one for exec, and pods are where they were."""
    testimony, stop = Testimony.at(tmp_path / "testimony"), tmp_path / "stop"
    old, new = both(pair)
    forever = testimony.script(f"while [ ! -e {stop} ]; do sleep 0.5; done")
    made = pair.administrator.create(plain(f"frozen-{number}", forever, nodeName=NODE) for number in range(5))
    wait_until(lambda: pair.phases() == {"Running"}, "they run", PATIENCE)
    since = time.monotonic()
    os.kill(old.pid, signal.SIGSTOP)
    try:
        assert taken_over(pair, since, new) < TAKEN_OVER
    finally:
        os.kill(old.pid, signal.SIGCONT)
    wait_until(lambda: not old.is_running, "it gives up", PATIENCE)
    assert old.stop() == 1
    assert acting(pair) is new
    assert pair.kubectl("exec", "frozen-0", "--", "echo", "hi").stdout == "hi\n"
    old.start()
    stop.touch()
    wait_until(lambda: pair.phases() == {"Succeeded"}, "they end", PATIENCE)
    check_once(testimony, made)
    pair.clear()
