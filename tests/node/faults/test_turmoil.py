"""Every process is killed, etcd too, and the way between node and site is cut, again and again, under 300 pods."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farnode import Pod
from tests.faults.chaos import Chaos
from tests.faults.crowd import LOST
from tests.faults.sites import of_attempts
from tests.faults.testimony import Testimony
from tests.node.faults.administrator import ENDED
from tests.node.faults.cluster import Cluster, Terms
from tests.node.faults.turmoil import Turmoil, begun
from tests.node.stack import NODE
from tests.sites.site import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(280)]

Json = dict[str, Any]
PODS = 300
PATIENCE = 120.0
DEEDS = ["node", "node", "gateway", "gateway", "runner", "apiserver", "etcd", "cut"]
MEDDLING = ["make", "make", "delete", "delete", "force", "force"]
PAUSE = 2.0
"""Seconds between two deeds at most."""
OPEN = ("farnode_node_tasks", "farnode_node_streams")
SPARE = 4
"""Of each that a process may have more than when it was new: connections come and go."""
CUTS = {1: 15.0, 2: 15.0, 3: 60.0}
"""Seconds, by round."""
SITE = {"maxAttempts": 4, "pilots": {"cores": 8}}
"""Several pilots, so that a runner's death is not everybody's."""


class Scene:
    """`quiet`: what a node process has open that has nothing to do."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.quiet = self.open()

    def open(self) -> dict[str, int]:
        """Descriptors, and of the event loop its tasks and streams."""
        said = self.cluster.kubectl("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/metrics").stdout
        found = dict(line.split(" ") for line in said.splitlines() if line.startswith(OPEN))
        descriptors = len(list(Path(f"/proc/{self.cluster.nodes[0].pid}/fd").iterdir()))
        return {"descriptors": descriptors, **{name: int(value) for name, value in found.items()}}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Cluster(Terms(site=SITE, linked=True)) as cluster:
        yield Scene(cluster)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_pod_ends_once_whatever_befalls(scene: Scene, rng: random.Random, tmp_path: Path, number: int) -> None:
    cluster, testimony = scene.cluster, Testimony.at(tmp_path / "testimony")
    began = time.monotonic()
    with Turmoil(cluster, testimony, rng, f"round-{number}", CUTS[number]) as turmoil:
        turmoil.make(PODS)
        wait_until(lambda: begun(testimony, turmoil.made) > PODS / 2, "they run", PATIENCE)
        with Chaos(turmoil.acts, DEEDS + MEDDLING, rng, PAUSE) as chaos:
            print(f"{PODS / 2:g} pods ran after {time.monotonic() - began:.0f} s")
            wait_until(lambda: chaos.over, "everything was done", PATIENCE)
    print(f"all was done after {time.monotonic() - began:.0f} s")
    _settle(cluster, turmoil)
    print(f"all had ended after {time.monotonic() - began:.0f} s")
    _check(cluster, turmoil, testimony)
    cluster.clear()


def _settle(cluster: Cluster, turmoil: Turmoil) -> None:
    (node,) = cluster.nodes

    def ended() -> bool:
        pods = cluster.administrator.pods()
        return node.lives() and pods.keys() == turmoil.left and cluster.phases() <= set(ENDED)

    try:
        wait_until(ended, "every pod ends, and those that were deleted are gone", PATIENCE)
        wait_until(lambda: cluster.at_site().keys() == turmoil.left, "nothing else is at the site", PATIENCE)
    except AssertionError as error:
        raise AssertionError(f"{error}: {_state(cluster, turmoil)}\n{node.said()}") from None
    wait_until(lambda: not of_attempts(cluster.site), "no process of a pod is left", PATIENCE)


def _state(cluster: Cluster, turmoil: Turmoil) -> str:
    """What is not as it should be: each pod's phase at both sides."""
    api = {uid: pod["status"]["phase"] for uid, pod in cluster.administrator.pods().items()}
    site = {uid: (pod.phase, pod.ended, pod.deleting) for uid, pod in cluster.at_site().items()}
    fine = {uid for uid in turmoil.left if api.get(uid) in ENDED and uid in site}
    wrong = (api.keys() | site.keys() | turmoil.left) - fine
    return str({uid: (api.get(uid), site.get(uid), uid in turmoil.left) for uid in sorted(wrong)[:20]})


def _check(cluster: Cluster, turmoil: Turmoil, testimony: Testimony) -> None:
    pods, site = cluster.administrator.pods(), cluster.at_site()
    wrong = {uid: story.wrong for uid, story in cluster.administrator.stories.items() if story.wrong}
    assert not wrong, f"the API server was told otherwise before: {wrong}"
    testimony.check()
    finished = testimony.finished()
    for uid, pod in pods.items():
        assert _end(pod["status"]) == _end(site[uid].status), f"{pod['status']} is not {site[uid].view}"
        _check_end(pod, site[uid], finished.get(uid, set()))
    phases = Counter((pod["status"]["phase"], pod["status"].get("reason", "")) for pod in pods.values())
    print(f"ended: {dict(phases)}; deleted {len(turmoil.deleted)}, by force {len(turmoil.forced)}")


def _check_end(pod: Json, there: Pod, finished: set[int]) -> None:
    """In keeping with its restart policy and its own testimony."""
    status = pod["status"]
    if status["phase"] == "Succeeded":
        assert there.attempt in finished, f"succeeded without having come to its end: {there.view}"
        assert pod["spec"]["restartPolicy"] == "OnFailure" or there.attempt == 1
        return
    assert status["reason"] in LOST, status
    assert pod["spec"]["restartPolicy"] == "Never", "it would have been tried again"
    assert {"DisruptionTarget"} <= {one["type"] for one in status["conditions"] if one["status"] == "True"}


def _end(status: Any) -> tuple[Any, ...]:
    """Of a v1.PodStatus."""
    states = [one["state"].get("terminated") or {} for one in status["containerStatuses"]]
    return (
        status["phase"],
        status.get("reason", ""),
        [(state.get("exitCode"), state.get("reason")) for state in states],
        [one["restartCount"] for one in status["containerStatuses"]],
    )


def test_nothing_is_left_open(scene: Scene) -> None:
    """A minute after the last call, connections that are kept for the next one are closed."""
    assert scene.quiet.keys() == {"descriptors", *OPEN}

    def quiet() -> bool:
        return all(count <= scene.quiet[name] + SPARE for name, count in scene.open().items())

    wait_until(quiet, f"all is closed: {scene.open()}, at first {scene.quiet}", 120)
