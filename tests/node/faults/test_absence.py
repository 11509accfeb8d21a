"""What is away for a while costs no pod: the Node object, the site, the node's own process.

The cluster gives a node up after 20 s and evicts its pods 3 s later. Each time a pod of a node that is really dead, or
was never there, shows that the cluster was about to do so; the virtual node's pods are the same ones all along.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.testimony import Testimony
from tests.node.faults.cluster import Cluster, plain
from tests.node.faults.neighbours import Neighbours
from tests.node.stack import NODE
from tests.sites.site import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

Json = dict[str, Any]
PATIENCE = 90.0
LASTING = [f"lasting-{number}" for number in range(3)]
HEALTHY = [f"healthy-{number}" for number in range(4)]
"""So many that those which die are few: where more than half of a zone's nodes are dead, none of their pods is evicted
(Kubernetes, "Nodes", rate limits on eviction)."""
UNREACHABLE = ("farnode.io/site-unreachable", "NoSchedule")
DEAD = ("node.kubernetes.io/unreachable", "NoExecute")
FOREVER = "while [ ! -e {stop} ]; do sleep 0.5; done"


class Lasting:
    """Pods that go on until the end of this module. `others` are nodes that live until somebody lets them die."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self.cluster, self.testimony = cluster, Testimony.at(directory / "testimony")
        self.stop = directory / "stop"
        self.others = Neighbours(cluster.administrator, *HEALTHY, "first", "second")
        script = self.testimony.script(FOREVER.format(stop=self.stop))
        self.uids = {self.create(name, script, nodeName=NODE)["metadata"]["uid"] for name in LASTING}
        self.short_stop = directory / "short"
        self.short = self.create("short", f"{FOREVER.format(stop=self.short_stop)}; exit 4", nodeName=NODE)
        self._victims: list[Json] = []
        wait_until(lambda: self.phases() == {"Running"}, "they run", PATIENCE)

    def create(self, name: str, script: str, **spec: Any) -> Json:
        (made,) = self.cluster.administrator.create([plain(name, script, **spec)]).values()
        return made

    def victim(self, node: str) -> Json:
        """A pod of another node, on which it will never run."""
        made = self.create(f"victim-of-{node}", "true", nodeName=node)
        self._victims.append(made)
        return made

    def bury(self) -> None:
        """No kubelet confirms their end."""
        self.cluster.administrator.delete(self._victims, grace=0)

    def phases(self) -> set[str]:
        return {one["status"]["phase"] for one in self._pods()}

    def _pods(self) -> list[Json]:
        pods = self.cluster.administrator.pods()
        return [pods[uid] for uid in self.uids]

    def check(self) -> None:
        """All are there, run, began once, and nobody means to end them."""
        for one in self._pods():
            assert one["status"]["phase"] == "Running", one["status"]
            assert "deletionTimestamp" not in one["metadata"], one["metadata"]
            assert not any(each["restartCount"] for each in one["status"]["containerStatuses"]), one["status"]
        starts = [line.uid for line in self.testimony.lines()]
        assert sorted(starts) == sorted(self.uids), "each began once, and none has ended"


@pytest.fixture(scope="module")
def lasting(strict: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lasting]:
    yield (made := Lasting(strict, tmp_path_factory.mktemp("lasting")))
    made.check()
    made.stop.touch()
    wait_until(lambda: made.phases() == {"Succeeded"}, "they end well", PATIENCE)
    made.bury()
    strict.clear()


def _evicted(lasting: Lasting, victim: Json) -> bool:
    pods = lasting.cluster.administrator.pods()
    uid = victim["metadata"]["uid"]
    return uid not in pods or "deletionTimestamp" in pods[uid]["metadata"]


def test_a_deleted_node_is_back_at_once_and_keeps_its_pods(lasting: Lasting) -> None:
    """The collector of pods without a node waits 40 s before it asks whether there is none indeed."""
    before = lasting.cluster.node()["metadata"]["uid"]
    lasting.cluster.kubectl("delete", "node", NODE)
    orphan = lasting.create("orphan", "true", nodeName="nowhere")
    wait_until(lambda: lasting.cluster.condition("Ready") == "True", "the node is back", 10)
    assert lasting.cluster.node()["metadata"]["uid"] != before
    lasting.check()
    wait_until(lambda: _evicted(lasting, orphan), "the collector did its work", 120)
    lasting.check()


def test_a_site_that_is_unreachable_costs_no_pod(lasting: Lasting) -> None:
    cluster = lasting.cluster
    stop = lasting.stop.with_name("brief")
    brief = lasting.create("brief", f"{FOREVER.format(stop=stop)}; exit 3", nodeName=NODE)
    victim = lasting.victim("first")
    uid = brief["metadata"]["uid"]
    wait_until(lambda: cluster.administrator.pods()[uid]["status"]["phase"] == "Running", "it runs", PATIENCE)
    cluster.site.kill()
    stop.touch()
    wait_until(lambda: cluster.condition("SiteReachable") == "False", "it is noticed", PATIENCE)
    wait_until(lambda: UNREACHABLE in cluster.taints(), "new pods stay away", PATIENCE)
    late = lasting.create("late", "true")
    lasting.others.alive.remove("first")
    wait_until(lambda: _evicted(lasting, victim), "the pod of a dead node is evicted", PATIENCE)
    assert cluster.condition("Ready") == "True"
    assert DEAD not in cluster.taints()
    lasting.check()
    pods = cluster.administrator.pods()
    assert pods[uid]["status"]["phase"] == "Running", "nobody can know of its end yet"
    assert "nodeName" not in pods[late["metadata"]["uid"]]["spec"]
    cluster.site._gateway = None
    cluster.site.start()
    wait_until(lambda: cluster.condition("SiteReachable") == "True", "it is noticed", PATIENCE)
    wait_until(lambda: UNREACHABLE not in cluster.taints(), "new pods may come", PATIENCE)
    ended = cluster.kubectl.ended("brief")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 3
    assert cluster.kubectl.ended("late")["status"]["phase"] == "Succeeded"
    lasting.check()


def test_a_node_process_that_is_away_costs_no_pod(lasting: Lasting) -> None:
    """They are older than `reconcile.LASTING`."""
    cluster = lasting.cluster
    (node,) = cluster.nodes
    victim = lasting.victim("second")
    wait_until(lambda: _lasts(lasting), "they tolerate its absence", PATIENCE)
    node.kill()
    lasting.short_stop.touch()
    lasting.others.alive.remove("second")
    wait_until(lambda: DEAD in cluster.taints(), "the node is given up", PATIENCE)
    wait_until(lambda: _evicted(lasting, victim), "the pod of a dead node is evicted", PATIENCE)
    lasting.check()
    node.start()
    wait_until(lambda: node.lives() and cluster.condition("Ready") == "True", "it is back", PATIENCE)
    wait_until(lambda: DEAD not in cluster.taints(), "it is taken for alive", PATIENCE)
    ended = cluster.kubectl.ended("short")
    assert ended["metadata"]["uid"] == lasting.short["metadata"]["uid"]
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
    assert cluster.kubectl("exec", LASTING[0], "--", "echo", "here").stdout == "here\n"
    lasting.check()


def _lasts(lasting: Lasting) -> bool:
    """Days, and not the seconds of this cluster."""
    return all(min(each["tolerationSeconds"] for each in one["spec"]["tolerations"]) > 3600 for one in lasting._pods())
