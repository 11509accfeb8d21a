"""The Slurm driver against a site in a box: its commands are small scripts that enter the site as alice."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from farnode.providers.port import Site
from farnode.providers.slurm import SlurmProvider
from farnode.providers.slurm.provider import User
from farnode.providers.slurm.settings import SlurmSettings
from farnode.testing import JOB_SCRIPT
from tests.testbed import SlurmSite
from tests.testbed.machine import USERS

TOOLS = ("sbatch", "scancel", "scontrol", "squeue", "sacct", "sacctmgr")


@dataclass
class SlurmBench:
    """`tools`: an empty directory on the host for the scripts."""

    site: SlurmSite
    tools: Path
    patience: float = 30.0

    def __post_init__(self) -> None:
        for tool in TOOLS:
            argv, _ = self.site.machine().entering("alice", [tool])
            script = self.tools / tool
            script.write_text(f'#!/bin/sh\nexec {shlex.join(argv)} "$@"\n')
            script.chmod(0o755)
        script = self.site.home("alice") / "job.sh"
        script.write_text(JOB_SCRIPT)
        self.provider = self.started()

    def started(self, **settings: object) -> SlurmProvider:
        """A driver as a gateway of alice's in the site would have it."""
        read = SlurmSettings.read({"path": str(self.tools), "callsPerMinute": 3000, **settings})
        site = Site("box", Path("/home/alice/job.sh"), self.tools)
        return SlurmProvider(read, site, user=User("alice", "/home/alice"))

    def directory(self, name: str) -> tuple[str, Path]:
        path = self.site.home("alice") / name
        path.mkdir(exist_ok=True)
        os.chown(path, USERS["alice"], USERS["alice"])
        return f"/home/alice/{name}", path
