"""Parsl's HighThroughputExecutor with its own SlurmProvider: one worker pool a node, bash apps.

    python parsl_apps.py NODES CORES ADDRESS PACKAGES

ADDRESS is the login node's, as compute nodes see it.
A round is {"tasks": how many}.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import parsl
import rounds
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
from parsl.providers import SlurmProvider


@parsl.bash_app
def no_op() -> str:
    return "/bin/true"


def executor(nodes: int, cores: int, address: str, packages: Path) -> HighThroughputExecutor:
    provider = SlurmProvider(
        init_blocks=nodes, max_blocks=nodes, walltime="01:00:00", worker_init=f"export PYTHONPATH={packages}"
    )
    return HighThroughputExecutor(
        label="htex",
        address=address,
        max_workers_per_node=cores,
        cores_per_worker=0.001,  # what bounds it is the line above: these nodes have fewer cores than Slurm believes
        encrypted=False,
        provider=provider,
        launch_cmd=f"{sys.executable} {packages}/bin/{DEFAULT_LAUNCH_CMD}",
        interchange_launch_cmd=[sys.executable, f"{packages}/bin/interchange.py"],
    )


def main() -> None:
    nodes, cores, address, packages = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    os.chdir(tempfile.mkdtemp(prefix="parsl-", dir=Path.home()))
    htex = executor(nodes, cores, address, packages)
    with parsl.load(Config(executors=[htex], run_dir="runs", usage_tracking=0, strategy="none")):
        deadline = time.monotonic() + 120
        while sum(manager["worker_count"] for manager in htex.connected_managers()) < nodes * cores:
            assert time.monotonic() < deadline, "Parsl's workers do not start"
            time.sleep(0.2)

        def play(asked: dict[str, Any]) -> dict[str, Any]:
            for future in [no_op() for _ in range(asked["tasks"])]:
                assert future.result() == 0
            return {}

        rounds.serve(play)


if __name__ == "__main__":
    main()
