"""The files of a site: a layer that all its machines share, one for the edge, Slurm's configuration, and homes.

A machine's root file system is an overlay: what it writes stays its own, and below that are these layers and the base.
Only homes and Slurm's configuration are the same directory everywhere.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from tests.testbed import install, slurm
from tests.testbed.build import FILES
from tests.testbed.machine import USERS, Boot
from tests.testbed.slurm import SiteSpec


def write(spec: SiteSpec, directory: Path, base: Path) -> None:
    """Write everything that must be there before the first machine starts."""
    layer, conf = directory / "layer", directory / "slurm"
    passwd = [line.split(":") for line in (base / "etc/passwd").read_text().splitlines()]
    ids = {fields[0]: int(fields[2]) for fields in passwd}
    put(layer / "etc/hosts", spec.network.hosts())
    put(layer / "etc/munge/munge.key", secrets.token_hex(64), ids["munge"])
    for script in ("edge-init", "node-init", "accounting-init"):
        put(layer / "usr/local/sbin" / script, (FILES / script).read_text())
    put(conf / "slurm.conf", slurm.slurm_conf(spec))
    put(conf / "gres.conf", slurm.gres_conf(spec))
    put(conf / "cgroup.conf", "CgroupPlugin=disabled\n")
    put(conf / "jwt.key", secrets.token_hex(16), ids["slurm"])
    if spec.accounting:
        put(conf / "slurmdbd.conf", slurm.SLURMDBD, ids["slurm"])
    (directory / "edge-layer").mkdir()
    for user, uid in USERS.items():
        if uid:
            (directory / "home" / user).mkdir(parents=True)
            os.chown(directory / "home" / user, uid, uid)


def edge(spec: SiteSpec, directory: Path, base: Path) -> Boot:
    """How the edge is put together; only it has farnode."""
    node = compute_node(directory, base)
    extra = directory / "edge-layer"
    farnode = install.mounts(base, directory / "farnode", extra / "usr/local/bin") if spec.farnode else []
    return Boot([extra, *node.layers], [*node.binds, *farnode], "/usr/local/sbin/edge-init")


def compute_node(directory: Path, base: Path) -> Boot:
    """How a compute node is put together."""
    binds = [f"{directory}/home:/home", f"{directory}/slurm:/etc/slurm"]
    return Boot([directory / "layer", base], binds, "/usr/local/sbin/node-init")


def put(path: Path, text: str, owner: int = 0) -> None:
    """Write a file: for all to read, or for its owner only when that is not root."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600 if owner else 0o644)
    os.chown(path, owner, 0)
