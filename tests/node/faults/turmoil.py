"""What befalls a cluster in one round: kills, a cut, and people who go on making and deleting pods."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterable
from typing import Any

from tests.faults.chaos import Acts
from tests.faults.sites import kill, of_role, relaunch
from tests.faults.testimony import Testimony
from tests.node.faults.cluster import Cluster, plain
from tests.node.stack import NODE
from tests.testbed.kubernetes.arguments import APISERVER, ETCD

Json = dict[str, Any]
AT_ONCE = 10
"""Pods that are made or deleted by one deed."""
POLICIES = ("Never", "Never", "OnFailure")
SHORTEST, LONGEST = 8.0, 20.0


class Turmoil:
    """A context manager: when it is left the link is whole. `made` by uid; `deleted` and `forced` are uids of it."""

    def __init__(self, cluster: Cluster, testimony: Testimony, rng: random.Random, name: str, cut: float) -> None:
        """`cut`: seconds that each cut lasts."""
        self.cluster, self.testimony = cluster, testimony
        self.made: dict[str, Json] = {}
        self.deleted: set[str] = set()
        self.forced: set[str] = set()
        self._rng, self._name, self._seconds = rng, name, cut
        self._mending: threading.Timer | None = None

    def make(self, count: int) -> None:
        """Some are bound from the start and some wait for the scheduler."""
        self.made |= self.cluster.administrator.create([self._pod() for _ in range(count)])

    def _pod(self) -> Json:
        script = self.testimony.script(f"sleep {self._rng.uniform(SHORTEST, LONGEST):.2f}")
        bound = {"nodeName": NODE} if self._rng.random() < 0.8 else {}
        name = f"{self._name}-{self._rng.getrandbits(64):x}"
        return plain(name, script, self._rng.choice(POLICIES), terminationGracePeriodSeconds=2, **bound)

    @property
    def acts(self) -> Acts:
        return {
            "node": self._kill_node,
            "gateway": lambda: relaunch(self.cluster.site),
            "runner": self._kill_runner,
            "apiserver": lambda: self._restart(APISERVER),
            "etcd": lambda: self._restart(ETCD),
            "cut": self._cut,
            "make": lambda: self.make(AT_ONCE),
            "delete": lambda: self._delete(self.deleted, None),
            "force": lambda: self._delete(self.forced, 0),
        }

    def _kill_node(self) -> None:
        (node,) = self.cluster.nodes
        node.lives()
        node.kill()
        node.start()

    def _kill_runner(self) -> bool:
        found = of_role(self.cluster.site, "run")
        if found:
            kill(self.cluster.site, self._rng.choice(found), signal.SIGKILL)
        return bool(found)

    def _restart(self, component: str) -> None:
        self.cluster.plane.kill(component)
        self.cluster.plane.start(component)

    def _cut(self) -> None:
        self.cluster.link.cut()
        self._mending = threading.Timer(self._seconds, self.cluster.link.mend)
        self._mending.start()

    def _delete(self, among: set[str], grace: int | None) -> None:
        there = sorted(self.made.keys() - self.deleted - self.forced)
        chosen = self._rng.sample(there, min(AT_ONCE, len(there)))
        among.update(chosen)
        self.cluster.administrator.delete((self.made[uid] for uid in chosen), grace)

    @property
    def left(self) -> set[str]:
        """The uids of pods that nobody deleted."""
        return self.made.keys() - self.deleted - self.forced

    def __enter__(self) -> Turmoil:
        return self

    def __exit__(self, *_: object) -> None:
        if self._mending is not None:
            self._mending.join()


def begun(testimony: Testimony, uids: Iterable[str]) -> int:
    """How many of the pods."""
    return len({line.uid for line in testimony.lines()} & set(uids))
