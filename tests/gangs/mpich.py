"""Debian's MPICH as a user has it who has installed it below his home, which is that of every node.

Its library and what that loads, about 13 MB of packages; a whole installation is 330 MB, most of it for GPUs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from tests.testbed import SlurmSite, host
from tests.testbed.build import SLIM
from tests.testbed.machine import USERS

TOOLS = {"mmdebstrap": "mmdebstrap"}
LIBRARIES = "libmpich libucm libucp libucs libuct libfabric libhwloc libnl* libibverbs librdmacm libslurm"
PICKED = (
    *("usr/bin/mpiexec.hydra", "usr/bin/hydra_pmi_proxy"),
    *(f"usr/lib/*/{library}.so.*" for library in LIBRARIES.split()),
)


def installed(box: SlurmSite, user: str) -> str:
    """Put it into the user's home; the path there."""
    target = box.home(user) / "mpich"
    shutil.copytree(_built(), target, symlinks=True)
    for path in (target, *target.iterdir()):
        os.chown(path, USERS[user], USERS[user], follow_symlinks=False)
    return f"/home/{user}/mpich"


def _built() -> Path:
    """A directory with all of it; made once on a machine."""
    ready = host.CACHE / f"mpich-{hashlib.sha256(repr(PICKED).encode()).hexdigest()[:12]}"
    with host.locked("mpich"):
        if not ready.is_dir():
            host.install(TOOLS)
            with tempfile.TemporaryDirectory(prefix="mpich-building-", dir=host.CACHE) as scratch:
                _build(Path(scratch)).rename(ready)
    return ready


def _build(scratch: Path) -> Path:
    root, picked = scratch / "root", scratch / "picked"
    extract = ["mmdebstrap", "--variant=extract", *SLIM, "--include=mpich"]
    host.call(["nice", *extract, "trixie", str(root), host.mirror()])
    picked.mkdir(mode=0o755)
    for pattern in PICKED:
        for path in root.glob(pattern):
            shutil.copy2(path, picked / path.name, follow_symlinks=False)
    return picked
