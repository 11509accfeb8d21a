"""A site with real Slurm and apptainer: the gateway is alice's process on the login node of a site in a box."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.sites.site import MARK, RUNNER, GatewaySite, SiteProcess, storage
from tests.testbed import Machine, SlurmSite
from tests.testbed.machine import USERS

ACCOUNT = "alice"
PROVIDER: Mapping[str, Any] = {"kind": "slurm", "callsPerMinute": 3000}
"""As at a site that does not count commands: what tests ask for often is not what they wait for."""
_INSIDE = f"/home/{ACCOUNT}/fn"
_ENVIRON = {"FARNODE_CONFIG": f"{_INSIDE}/config.yaml"}


class BoxSite(GatewaySite):
    """`box` is up and has its registry. `settings` are merged over the gateway's configuration."""

    def __init__(self, box: SlurmSite, settings: Mapping[str, Any] | None = None, scratch: Path | None = None) -> None:
        super().__init__()
        self.box = box
        self.name = "box"
        self.nodes = box.spec.nodes
        self.gpus = {f"n{i}": box.spec.gpus(i) for i in range(1, self.nodes + 1)}
        self.capabilities = frozenset({"image", "mounts", "gpus", "isolation", "sharing"})
        self.patience = 120.0
        self.directory = box.home(ACCOUNT) / "fn"
        self.state, self.spool = self.directory / "state", self.directory / "spool"
        self.log = box.directory / "gateway.log"
        self._private = scratch or box.directory / "tokens"
        self._private.mkdir(mode=0o700, exist_ok=True)
        self.directory.mkdir(exist_ok=True)
        os.chown(self.directory, USERS[ACCOUNT], USERS[ACCOUNT])
        (self.directory / "gateway.yaml").write_text(yaml.safe_dump(self._configuration() | dict(settings or {})))

    def _configuration(self) -> dict[str, Any]:
        return {
            "site": self.name,
            "state": f"{_INSIDE}/state",
            "spool": f"{_INSIDE}/spool",
            "provider": dict(PROVIDER),
            "runtimes": ["apptainer", "podman", "charliecloud", "bubblewrap", "process"],
            "runners": {"listen": "0.0.0.0:0", "advertise": "edge"},
            "pollInterval": "1s",
            "walltime": {"default": "10m"},
            "pilots": {"idleAfter": "5s"},  # GPUs are few, and other kinds of pods want them next
            "storage": storage(f"{_INSIDE}/claims"),
            "images": {"registries": {self.box.registry.name: {"insecure": True}}},
        }

    @property
    def pid(self) -> int:
        assert self._gateway is not None
        (inner,) = Path(f"/proc/{self._gateway.pid}/task/{self._gateway.pid}/children").read_text().split()
        return int(inner)

    def image(self, name: str) -> str:
        """Names of test images get the registry; full names stay."""
        return f"{self.box.registry.name}/farnode/{name}" if name.partition(":")[0] in ("busybox", "python") else name

    def _launch(self) -> subprocess.Popen[Any]:
        argv = ["farnode", "gateway", "start", "-c", f"{_INSIDE}/gateway.yaml"]
        with self.log.open("a") as out:
            return self.box.machine().popen(ACCOUNT, argv, env=_ENVIRON, stdout=out.fileno(), stderr=subprocess.STDOUT)

    def _issue(self, owner: str) -> str:
        argv = ["farnode", "gateway", "token", "-c", f"{_INSIDE}/gateway.yaml", "--owner", owner]
        return self.box.run(ACCOUNT, argv, env=_ENVIRON).stdout

    def _scratch(self) -> Path:
        return self._private

    def processes(self) -> Sequence[SiteProcess]:
        return [process for node, machine in self._machines().items() for process in _of(node, machine)]

    def command_lines(self) -> Sequence[str]:
        return [" ".join(one.cmdline) for machine in self._machines().values() for one in machine.processes()]

    def _machines(self) -> dict[str, Machine]:
        return {"": self.box.machine(), **{f"n{i}": self.box.machine(i) for i in range(1, self.nodes + 1)}}

    def _clear(self) -> None:
        """The box takes all with it."""


def _of(node: str, machine: Machine) -> list[SiteProcess]:
    return [
        SiteProcess(node, one.pid, one.cmdline, one.environ)
        for one in machine.processes()
        if one.cmdline and (MARK in one.environ or any(word.endswith(RUNNER) for word in one.cmdline))
    ]
