"""An allocation as one call of sbatch.

The environment travels as sbatch's own, with `--export=ALL`: values on a command line are there for all to read, and
`--export=NAMES` (like NONE) makes Slurm load the user's login environment on the node first, which may hang, print or
change anything (sbatch sets SLURM_GET_USER_ENV=1 with both).
"""

from __future__ import annotations

import re
from pathlib import Path

from farnode.model.allocation import AllocationId, AllocationRequest, GpuRequest, Refused
from farnode.providers.slurm.command import Output
from farnode.providers.slurm.refusals import refusal

MIB = 1 << 20
ID = re.compile(r"(\d+)(;[\w.-]+)?")


def sbatch(request: AllocationRequest, script: Path, *more: str) -> list[str]:
    """The command line; everything in it is ours, a number, or an entry of the inventory."""
    options = {
        "job-name": request.job_name,
        "partition": request.partition,
        "account": request.account,
        "qos": request.qos,
        "nodes": str(request.nodes),
        "ntasks": str(request.nodes),
        "cpus-per-task": str(request.cores),
        "mem": f"{-(-request.memory // MIB)}M" if request.memory else None,
        "gres": gres(request.gpu) if request.gpu else None,
        "time": str(-(-request.walltime // 60)) if request.walltime else None,
        "signal": f"B:USR1@{request.warning}",
        "chdir": request.directory,
        "output": f"{request.directory}/job.out".replace("%", "%%"),
        "open-mode": "append",
        "comment": printable(request.comment) or None,
        "export": "ALL",
        "propagate": "NONE",  # a login node's limits on processes and memory are not the compute node's
    }
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return ["sbatch", *more, "--parsable", "--no-requeue", *given, str(script)]


def gres(gpu: GpuRequest) -> str:
    return f"gpu:{gpu.model}:{gpu.count}" if gpu.model else f"gpu:{gpu.count}"


def printable(text: str) -> str:
    """One line; Slurm's accounting takes no control characters."""
    return "".join(char if char.isprintable() else " " for char in text).strip()[:500]


def job_id(out: str) -> str | None:
    """The id among whatever else was printed: sites add banners, and `-M` the cluster's name (`129;h7`)."""
    found = [match for line in out.splitlines() if (match := ID.fullmatch(line.strip()))]
    return found[-1][1] if found else None


def answer(nonce: str, output: Output) -> AllocationId | Refused:
    """What became of one request. An id counts even if sbatch failed afterwards; without one and without a refusal
    nobody knows, and the job is found, or not, by its name."""
    job = job_id(output.out)
    if job is not None:
        return AllocationId(nonce, job)
    if output.code == 0 or output.unclear:
        return AllocationId(nonce)
    return refusal(output.err)
