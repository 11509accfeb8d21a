"""What Slurm says of our jobs: one squeue for all of them, one sacct for those it has forgotten.

squeue is asked for all jobs of this user rather than by id, because one id older than MinJobAge makes it fail for all;
a job counts as ours only by its name, because ids are given out again after a crash of the controller. An element of an
array is `<array>_<index>`; what of an array was cancelled while it waited is listed as one, by the array's id alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from farnode.model.allocation import AllocationId, AllocationState, Phase, base_of, index_of
from farnode.providers.slurm.hostlist import expand
from farnode.providers.slurm.limits import limit_words
from farnode.providers.slurm.words import REASONS, state_row

PREFIX = "farnode-"
SEPARATOR = "|~|"
"""Reasons hold blanks and commas, node lists commas and brackets."""
SOON = 400 * 86400.0
"""A start further away than this (seconds) is one that Slurm could not compute; 2282 was seen."""
ID = re.compile(r"[0-9]{1,10}(_[0-9]{1,10})?")
SQUEUE = ["squeue", "--me", "--all", "--states=all", "--array", "--noheader"]
SQUEUE += ["--format=" + SEPARATOR.join(("%i", "%T", "%V", "%S", "%N", "%r", "%j"))]
LOST = "accounting still calls it alive, but the controller does not know it: its record was lost in a crash"
UNKNOWN = "Slurm knows no such job"
SACCT_FIELDS = "JobID,State,Submit,Start,NodeList,Reason,JobName"


@dataclass(frozen=True, slots=True)
class Job:
    """One incarnation of a job, or of an array's element. `submitted` orders incarnations; Slurm prints it so that text
    order is time order."""

    id: str
    nonce: str
    state: str
    submitted: str
    start: str
    nodes: str
    reason: str

    @property
    def order(self) -> tuple[str, list[int]]:
        return self.submitted, [int(part) for part in self.id.split("_")]


def sacct(ids: Collection[AllocationId]) -> list[str]:
    """All incarnations of some jobs within the last month, one line each."""
    names = ",".join(sorted({f"{PREFIX}{name}" for each in ids for name in (base_of(each.nonce), each.nonce)}))
    options = ["--noheader", "--parsable2", "--allocations", "--array", "--duplicates", "--starttime=now-30days"]
    return ["sacct", *options, f"--delimiter={SEPARATOR}", f"--name={names}", f"--format={SACCT_FIELDS}"]


def parse(text: str) -> Iterator[Job]:
    """The jobs of ours in squeue's or sacct's answer; other lines (banners, other jobs) are passed over."""
    for line in text.splitlines():
        fields = line.split(SEPARATOR)
        if len(fields) == 7 and ID.fullmatch(fields[0]) and fields[6].startswith(PREFIX):
            job, state, submitted, start, nodes, reason, name = fields
            _, element, index = job.partition("_")
            nonce = name.removeprefix(PREFIX) + (f"-{index}" if element else "")
            yield Job(job, nonce, state, submitted, start, nodes, reason)


class Jobs:
    """The newest incarnation of each job, by nonce and by (id, nonce)."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._by_nonce: dict[str, Job] = {}
        self._by_id: dict[tuple[str, str], Job] = {}
        for job in sorted(jobs, key=lambda job: job.order):
            self._by_nonce[job.nonce] = job
            self._by_id[job.id, job.nonce] = job

    def find(self, wanted: AllocationId) -> Job | None:
        known = self._by_id.get((wanted.job, wanted.nonce)) if wanted.job else None
        return known or self._by_nonce.get(wanted.nonce) or self._shared(wanted)

    def _shared(self, wanted: AllocationId) -> Job | None:
        """The job of which this is one node; or what is left of the array of which it was an element."""
        index, job = index_of(wanted.nonce), self._by_nonce.get(base_of(wanted.nonce))
        if index is None or job is None or (wanted.job or job.id).partition("_")[0] != job.id:
            return None
        return replace(job, id=wanted.job or job.id)


def found(ids: Collection[AllocationId], jobs: Jobs, now: float) -> dict[AllocationId, AllocationState]:
    pairs = ((each, jobs.find(each)) for each in ids)
    return {each: describe(job, now) for each, job in pairs if job is not None}


def absent(wanted: AllocationId, words: str) -> AllocationState:
    """Slurm knows no such job. Of one that it did know nobody can say whether its processes are gone."""
    return AllocationState(Phase.ABSENT, wanted.job, words=words, fenced=wanted.job is None)


def alive(job: Job) -> bool:
    return state_row(job.state).phase in (Phase.QUEUED, Phase.RUNNING)


def describe(job: Job, now: float) -> AllocationState:
    row = state_row(job.state)
    reason = "" if job.reason in ("", "None") else job.reason
    words = row.words
    if row.phase is Phase.QUEUED:
        words = reason_words(job.reason) if job.state == "PENDING" else words
    elif row.phase is Phase.ENDED and reason:
        words = f"{row.words} ({reason_words(reason)})"
    code = job.state.split()[0] if job.state.split() else ""
    return AllocationState(
        phase=row.phase,
        job=job.id,
        cause=row.cause,
        reason=reason or code,
        words=words,
        fenced=row.fenced,
        expected_start=epoch(job.start, now) if row.phase is Phase.QUEUED else None,
        nodes=expand(job.nodes),
    )


def reason_words(reason: str) -> str:
    """A reason may carry details after its code: `ReqNodeNotAvail, UnavailableNodes:n2`."""
    code, _, details = reason.partition(",")
    known = REASONS.get(reason) or REASONS.get(code) or limit_words(code)
    if known is None:
        return f"Slurm says: {reason}"
    return f"{known} ({details.strip()})" if details and reason not in REASONS else known


def epoch(text: str, now: float) -> float | None:
    """Seconds since the epoch of a time in UTC as Slurm prints it; None where it says N/A or nonsense."""
    try:
        at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    return at if at < now + SOON else None


def live(states: Mapping[AllocationId, AllocationState]) -> list[AllocationId]:
    return [each for each, state in states.items() if state.phase in (Phase.QUEUED, Phase.RUNNING)]
