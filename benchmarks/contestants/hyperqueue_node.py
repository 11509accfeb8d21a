"""HyperQueue's server, or one worker of it, from the wheel alone, which has no `hq` program.

    python hyperqueue_node.py server DIRECTORY
    python hyperqueue_node.py worker DIRECTORY CORES

The Python API starts workers only beside a server of their own; here a worker's is left idle, and the worker reads
the access file of the shared one instead.
"""

from __future__ import annotations

import platform
import sys
import time
from pathlib import Path

from hyperqueue.ffi.cluster import Cluster

CURRENT = "hq-current"
"""The link in a server's directory to what tells clients and workers where it is."""


def worker(directory: Path, cores: int) -> Cluster:
    own = directory / platform.node()
    own.mkdir()
    cluster = Cluster(str(own))
    (own / CURRENT).unlink()
    (own / CURRENT).symlink_to((directory / CURRENT).resolve())
    cluster.add_worker(cores)
    return cluster


def main() -> None:
    role, directory = sys.argv[1], Path(sys.argv[2])
    running = worker(directory, int(sys.argv[3])) if role == "worker" else Cluster(str(directory))
    (directory / f"ready-{platform.node()}").touch()
    while running:
        time.sleep(3600)


if __name__ == "__main__":
    main()
