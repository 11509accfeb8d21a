"""Examines a site before, or while, its gateway serves it, and says what to do about what it finds.

Whatever can be tried is tried and not inferred: the compute nodes are asked by a small batch job, submitted by the same
driver as every allocation and using the runner's own archive. Nothing stays behind. No check knows another, each is
bounded in time, and what one finds ends none of the others.

finding      what a check says, and the bound around each
directories  state, lock and spool, on this host
batch        the batch system and what it offers
images       container images: the tool that fetches them, registries, what is said to be there
listener     what the job dials: a listener of ours, or the running gateway's
trial        the job: submitted, followed, removed
probe.sh/py  what the job does
report       findings from what the job saw
examination  all of it, in order
"""

from __future__ import annotations

from farnode.gateway.doctor.examination import examine, examining
from farnode.gateway.doctor.finding import Finding

__all__ = ["Finding", "examine", "examining"]
