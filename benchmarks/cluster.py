"""A cluster with one virtual node: a real control plane, the embedded site and the node's process, on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.usage import TICKS, machine_seconds
from tests.node.stack import NODE, NodeProcess
from tests.sites import EmbeddedSite, wait_until
from tests.testbed.kubernetes import ControlPlane

PATIENCE = 60.0


class Node(NodeProcess):
    """With the rights that a kubelet of its name has, and room for more pods than a site would have."""

    def __init__(self, plane: ControlPlane, site: EmbeddedSite) -> None:
        access = {"url": site.url, "tokenFile": str(site.directory / "node" / "token")}
        whole = {"name": NODE, "site": access, "taints": [], "pods": 100_000}
        super().__init__(plane, site, plane.identity(f"system:node:{NODE}", ["system:nodes"]), {"nodes": [whole]})

    def begin(self) -> None:
        """Returns when the API server shows it as ready."""
        self.start()
        wait_until(self._is_ready, "the node is ready", PATIENCE)

    def _is_ready(self) -> bool:
        condition = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        shown = self.plane.kubectl("get", "node", NODE, "-o", condition, check=False).stdout
        return self.lives() and shown == "True"

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return sum(map(int, fields[11:13])) / TICKS

    def mebibytes(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("\nVmRSS:")[2].split()[0]) / 1024

    def calls(self) -> dict[str, int]:
        """To the API server so far, by kind."""
        shown = self.plane.kubectl("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/metrics").stdout
        lines = [line for line in shown.splitlines() if line.startswith("farnode_node_api_calls_total{")]
        return {line.split('"')[1]: int(line.rsplit(" ", 1)[1]) for line in lines}


@contextmanager
def cluster() -> Iterator[Node]:
    settings = {"quotas": {"podsPerOwner": 100_000}}
    with ControlPlane() as plane, EmbeddedSite(settings, gpus=0) as site:
        node = Node(plane, site)
        try:
            node.begin()
            yield node
        except BaseException:
            print(node.said(), file=sys.stderr)
            raise
        finally:
            if node.is_running:
                node.stop()


class Load:
    """How much of this machine's time goes to anything but this process and those whose command lines name one of the
    directories."""

    def __init__(self, *directories: Path) -> None:
        self._marks = [str(directory).encode() for directory in directories]
        self._before = self._now()

    def others(self) -> float:
        """The share since this was last asked."""
        now, before = self._now(), self._before
        self._before = now
        own, used, there_was = (here - then for here, then in zip(now, before, strict=True))
        return max(0.0, used - own) / there_was

    def _now(self) -> tuple[float, float, float]:
        return (sum(os.times()[:2]) + self._own(), *machine_seconds())

    def _own(self) -> float:
        total = 0.0
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                if any(mark in words for mark in self._marks):
                    fields = (entry / "stat").read_text().rsplit(") ", 1)[1].split()
                    total += sum(map(int, fields[11:15])) / TICKS
        return total
