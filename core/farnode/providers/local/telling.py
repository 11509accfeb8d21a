"""What is told of an allocation, in the words of the port. Pure."""

from __future__ import annotations

import os

from farnode.model.allocation import AllocationState, Cause, Phase
from farnode.providers.local.record import Record


def state(record: Record | None, now: float) -> AllocationState:
    if record is None:
        return AllocationState(Phase.ABSENT)
    job = record.nonce
    if record.ended is not None:
        cause = Cause(record.ended)
        return AllocationState(Phase.ENDED, job, cause, cause.value, record.words)
    if record.running:
        return AllocationState(Phase.RUNNING, job, words="its allocation runs", nodes=(os.uname().nodename,))
    if record.due > now:
        words = "it waits in the site's pretended queue"
        return AllocationState(Phase.QUEUED, job, None, "QueueDelay", words, expected_start=record.due)
    words = "it waits for other allocations to leave enough cores, memory and GPUs"
    return AllocationState(Phase.QUEUED, job, None, "Resources", words)


def verdict(record: Record, code: int | str | None) -> tuple[Cause, str]:
    """Why it ended: what was done to it, else what its script's exit `code` says."""
    if record.stopping == Cause.WALLTIME.value:
        return Cause.WALLTIME, f"it reached its time limit of {record.walltime} s"
    if record.stopping is not None:
        return Cause(record.stopping), "it was cancelled"
    if code == 0:
        return Cause.COMPLETED, "the job script ended by itself"
    if isinstance(code, int):
        end = f"was ended by signal {code - 128}" if code > 128 else f"ended with exit code {code}"
        return Cause.FAILED, f"the job script {end}; see job.out"
    return Cause.FAILED, "its processes were killed by somebody, or the machine was restarted"
