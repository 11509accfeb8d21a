"""Allocations as one call of sbatch, and its answer.

The environment travels as sbatch's own, with `--export=ALL`: values on a command line are there for all to read, and
`--export=NAMES` (like NONE) makes Slurm load the user's login environment on the node first, which may hang, print or
change anything (sbatch sets SLURM_GET_USER_ENV=1 with both).
"""

from __future__ import annotations

import re
from pathlib import Path

from farnode.model.allocation import AllocationId, GpuRequest, Refused
from farnode.providers.slurm.command import Output
from farnode.providers.slurm.refusals import refusal
from farnode.providers.slurm.submission import ALLOCATION, Kind, Submission, ranges

MIB = 1 << 20
ID = re.compile(r"(\d+)(;[\w.-]+)?")


def sbatch(submission: Submission, script: Path, *more: str) -> list[str]:
    """The command line; everything in it is ours, a number, or an entry of the inventory."""
    request, several = submission.first, submission.first.nodes > 1
    options = {
        "job-name": submission.name,
        "array": indices(submission),
        "partition": request.partition,
        "account": request.account,
        "qos": request.qos,
        "nodes": str(request.nodes),
        "ntasks": str(request.nodes),
        "ntasks-per-node": "1" if several else None,
        "cpus-per-task": str(request.cores),
        "mem": f"{-(-request.memory // MIB)}M" if request.memory else None,
        "gres": gres(request.gpu) if request.gpu else None,
        "time": str(-(-request.walltime // 60)) if request.walltime else None,
        "signal": f"B:USR1@{request.warning}",
        "chdir": submission.stem if submission.kind is Kind.PLAIN else str(Path(submission.stem).parent),
        "output": output(submission),
        "open-mode": "append",
        "comment": printable(request.comment) or None,
        "export": "ALL",
        "propagate": "NONE",  # a login node's limits on processes and memory are not the compute node's
    }
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    own = ["--no-kill"] if submission.kind is Kind.GANG else []  # a failed node does not take the others' pods
    return ["sbatch", *more, "--parsable", "--no-requeue", *own, *given, str(script)]


def environment(submission: Submission, script: Path, srun: str) -> dict[str, str]:
    """What the script is given: several allocations get the beginning of their directories, and the runners of one job
    are started by the script where it lies, since Slurm copies it to the first node only. `srun` is where that command
    is on this host, as it is on the nodes of most sites."""
    given = dict(submission.first.environment)
    if submission.kind is not Kind.PLAIN:
        given[ALLOCATION] = submission.stem
    if submission.kind is Kind.GANG:
        given |= {"FARNODE_GANG": str(script), "FARNODE_SRUN": srun}
    return given


def indices(submission: Submission) -> str | None:
    return ranges([each.index or 0 for each in submission.requests]) if submission.kind is Kind.ARRAY else None


def output(submission: Submission) -> str:
    """Of a job with several runners it is the first's; the others write to their own."""
    own = {Kind.PLAIN: "", Kind.ARRAY: "-%a", Kind.GANG: f"-{submission.first.index}"}[submission.kind]
    return submission.stem.replace("%", "%%") + f"{own}/job.out"


def gres(gpu: GpuRequest) -> str:
    return f"gpu:{gpu.model}:{gpu.count}" if gpu.model else f"gpu:{gpu.count}"


def printable(text: str) -> str:
    """One line; Slurm's accounting takes no control characters."""
    return "".join(char if char.isprintable() else " " for char in text).strip()[:500]


def job_id(out: str) -> str | None:
    """The id among whatever else was printed: sites add banners, and `-M` the cluster's name (`129;h7`)."""
    found = [match for line in out.splitlines() if (match := ID.fullmatch(line.strip()))]
    return found[-1][1] if found else None


def answers(submission: Submission, output: Output) -> list[AllocationId | Refused]:
    """What became of each request. An id counts even if sbatch failed afterwards; without one and without a refusal
    nobody knows, and the job is found, or not, by its name."""
    job = job_id(output.out)
    if job is not None or output.code == 0 or output.unclear:
        return [*submission.ids(job)]
    return [refusal(output.err)] * len(submission.requests)
