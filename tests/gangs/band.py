"""Gangs as a user writes them, and what the batch system has of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from farnode import Client, Pod
from tests.faults.testimony import pod
from tests.sites import BoxSite, wait_until

FAREWELL = 'trap "echo stopped; exit 1" TERM'
"""Of a script that says when it is asked to end."""


def gang(name: str, size: int, script: str, policy: str = "Never", failure: str = "stop") -> list[dict[str, Any]]:
    """Pods that run `script` as a process of their nodes, and start together."""
    pods = [pod(f"{name}-{rank}", script, policy, terminationGracePeriodSeconds=10) for rank in range(size)]
    said = {"farnode.io/gang": name, "farnode.io/gang-size": str(size), "farnode.io/gang-failure": failure}
    for one in pods:
        one["metadata"]["annotations"].update(said)
    return pods


@dataclass
class Band:
    """A gang at a site, by rank."""

    site: BoxSite
    client: Client
    pods: Sequence[Pod]

    def now(self, rank: int) -> Pod:
        return self.client.pod(self.pods[rank])

    def phases(self) -> list[str]:
        return [self.now(rank).phase for rank in range(len(self.pods))]

    def running(self, attempt: int = 1) -> bool:
        return all(pod.phase == "Running" and pod.attempt == attempt for pod in map(self.client.pod, self.pods))

    def begin(self) -> None:
        self.wait(self.running, "all run")

    def wait(self, condition: Callable[[], object], what: str, timeout: float = 60.0) -> None:
        """As `wait_until`, with what the pods say in the failure."""
        try:
            wait_until(condition, what, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}; {list(zip(self.phases(), self.words(), strict=True))}") from None

    def words(self) -> list[str]:
        return [str(pod.status.get("message")) for pod in map(self.client.pod, self.pods)]

    def says(self, words: str) -> int:
        """How many of them."""
        return sum(words in said for said in self.words())

    def log(self, rank: int) -> str:
        return b"".join(self.client.logs(self.pods[rank])).decode().strip()

    def node(self, rank: int) -> int:
        return int(self.now(rank).allocation["nodes"][0].removeprefix("n"))

    def jobs(self) -> list[str]:
        """Of the gang that are in the queue: their ids."""
        mine = {str(pod.allocation.get("job")) for pod in map(self.client.pod, self.pods)}
        listed = self.site.box.run("alice", ["squeue", "-h", "-r", "-o", "%A"]).stdout.split()
        return [job for job in listed if job in mine]
