"""HyperQueue: a server on the login node, a worker in a Slurm job on each node, tasks by the Python API.

    python hyperqueue_tasks.py NODES CORES

A round is {"tasks": how many}. The API's own waiting asks once a second; here it is left after each answer and asked
again after 5 ms, so that what is measured is the engine.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import rounds
from hyperqueue.client import Client
from hyperqueue.job import Job

BETWEEN = 0.005
NODE = Path(__file__).with_name("hyperqueue_node.py")


class _NotYet(Exception):
    pass


def _leave(jobs: dict[int, dict[str, Any]]) -> None:
    if not all(job["completed"] for job in jobs.values()):
        raise _NotYet


def wait(client: Client, job: int) -> None:
    while True:
        try:
            assert client.connection.wait_for_jobs([job], _leave) == [], "tasks failed"
            return
        except _NotYet:
            time.sleep(BETWEEN)


def started(directory: Path, nodes: int, cores: int) -> subprocess.Popen[bytes]:
    """The server, when a worker on each node has joined it."""
    server = subprocess.Popen([sys.executable, str(NODE), "server", str(directory)], stdout=sys.stderr)
    _until(lambda: any(directory.glob("ready-*")))
    line = f"exec {sys.executable} {NODE} worker {directory} {cores}"
    options = [f"--array=1-{nodes}", "--nodes=1", "--exclusive", "--output=/dev/null"]
    subprocess.run(["sbatch", *options, f"--wrap={line}"], check=True, stdout=sys.stderr)
    _until(lambda: len(list(directory.glob("ready-n*"))) == nodes)
    return server


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "HyperQueue does not start"
        time.sleep(0.05)


def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="hq-", dir=Path.home()))
    server = started(directory, int(sys.argv[1]), int(sys.argv[2]))
    client = Client(directory)

    def play(asked: dict[str, Any]) -> dict[str, Any]:
        job = Job(default_workdir=tempfile.mkdtemp(dir=directory))
        for _ in range(asked["tasks"]):
            job.program(["/bin/true"])
        wait(client, client.submit(job).id)
        return {}

    rounds.serve(play)
    server.terminate()
    server.wait()


if __name__ == "__main__":
    main()
