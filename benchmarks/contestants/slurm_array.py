"""One job array, from sbatch until squeue lists none of its elements as waiting or running any more.

A round is {"tasks": how many, "gpus": of each, "command": optional, /bin/true else}.
"""

from __future__ import annotations

import subprocess
import time
from typing import Any

import rounds

BETWEEN = 0.2
"""Seconds between questions: a question costs the controller about what two jobs do."""


def slurm(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def play(asked: dict[str, Any]) -> dict[str, Any]:
    gpus = [f"--gres=gpu:{asked['gpus']}"] if asked.get("gpus") else []
    wrapped = asked.get("command", "/bin/true")
    options = [f"--array=0-{asked['tasks'] - 1}", "--cpus-per-task=1", "--mem=100", "--output=/dev/null", *gpus]
    job = slurm("sbatch", "--parsable", *options, f"--wrap={wrapped}")
    while slurm("squeue", "--noheader", f"--jobs={job}", "--states=PENDING,CONFIGURING,RUNNING", "--format=%i"):
        time.sleep(BETWEEN)
    completed = slurm("squeue", "--noheader", "--array", f"--jobs={job}", "--states=CD,CG", "--format=%i").split()
    assert len(completed) == asked["tasks"], f"{len(completed)} of {asked['tasks']} completed"
    return {}


if __name__ == "__main__":
    rounds.serve(play)
