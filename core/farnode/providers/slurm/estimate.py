"""When a job would start, by `sbatch --test-only`: it answers on stderr, and uses up a job id without a job."""

from __future__ import annotations

import re

from farnode.providers.port import StartEstimate
from farnode.providers.slurm.command import Output
from farnode.providers.slurm.refusals import refusal
from farnode.providers.slurm.states import epoch

STARTS = re.compile(r"Job \d+ to start at (\S+)")


def estimated(output: Output, now: float) -> StartEstimate:
    match = STARTS.search(output.err)
    if match is None:
        return StartEstimate(None, refusal(output.err).words)
    at = epoch(match[1], now)
    return StartEstimate(at, "" if at else "jobs without a time limit are in the way")
