"""Sites with their faults at hand: the gateway's abrupt end and return, and the processes of runners by their role."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from farnode import Client, Pod
from tests.sites import BoxSite, EmbeddedSite, GatewaySite, SiteProcess, wait_until
from tests.testbed import SiteSpec, SlurmSite, free_index

INSIDE = "/home/alice/fn"
"""Where a box has what a test site puts there."""
ATTEMPT = "FARNODE_ATTEMPT"
ROLES = ("run", "supervise")
"""The last word of a runner's and of its supervisor's command line."""


class Faulty(EmbeddedSite):
    """An embedded site with short intervals; `settings` are merged over them."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        short = {"heartbeat": "2s", "fenceAfter": "10m", "settleAfter": "2s"}
        super().__init__({**short, **(settings or {})})


@contextmanager
def faulty_box(settings: Mapping[str, Any], spec: SiteSpec) -> Iterator[BoxSite]:
    spec = dataclasses.replace(spec, index=free_index())
    with SlurmSite(spec) as box, BoxSite(box, settings) as site:
        yield site


def relaunch(site: GatewaySite) -> None:
    """Kill the gateway, wherever it is in its life, and start the next one without waiting for it."""
    assert site.is_running, f"the gateway ended by itself:\n{site.log.read_text()[-4000:]}"
    site.kill()
    site._gateway = site._launch()


def node_of(client: Client, pod: Pod) -> int:
    """The number of the node a running pod is on, as soon as the batch system has said it."""
    wait_until(lambda: client.pod(pod).allocation.get("nodes"), f"the node of {pod} is known", 60)
    return int(client.pod(pod).allocation["nodes"][0].removeprefix("n"))


def of_role(site: GatewaySite, role: str) -> list[SiteProcess]:
    """Runners or supervisors that live now."""
    return [one for one in site.processes() if one.is_runner and one.cmdline[-1] == role]


def of_attempts(site: GatewaySite) -> dict[str, list[SiteProcess]]:
    """Containers' processes by their attempt (`uid/number`)."""
    found: dict[str, list[SiteProcess]] = {}
    for one in site.processes():
        if ATTEMPT in one.environ:
            found.setdefault(one.environ[ATTEMPT], []).append(one)
    return found


def kill(site: GatewaySite, process: SiteProcess, number: int = signal.SIGKILL) -> None:
    if isinstance(site, BoxSite):
        node = int(process.node.removeprefix("n")) if process.node else None
        site.box.run("root", ["kill", f"-{int(number)}", str(process.pid)], node=node, check=False)
    else:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def farnode(site: GatewaySite, *arguments: str) -> str:
    """A command of the gateway's own account, on its host."""
    if isinstance(site, BoxSite):
        environ = {"FARNODE_CONFIG": f"{INSIDE}/config.yaml"}
        return site.box.run("alice", ["farnode", *arguments, "-c", f"{INSIDE}/gateway.yaml"], env=environ).stdout
    assert isinstance(site, EmbeddedSite)
    argv = site.command(*arguments, "-c", str(site.config))
    return subprocess.run(argv, env=site.environ, capture_output=True, text=True, check=True, timeout=60).stdout
