"""What one call of sbatch asks for: a job, an array of jobs that are alike, or one job with a runner on each node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Self

from farnode.model.allocation import AllocationId, AllocationRequest

ALLOCATION = "FARNODE_ALLOCATION"
"""The variable that names an allocation's directory; of an array, or of a job with several runners, the directories'
common beginning, to which the script appends `-<index>`."""


class Kind(Enum):
    PLAIN = "plain"
    ARRAY = "array"
    GANG = "gang"


@dataclass(frozen=True, slots=True)
class Submission:
    """`requests` are of one base and alike, by index; of a plain job there is one."""

    kind: Kind
    requests: tuple[AllocationRequest, ...]

    @property
    def first(self) -> AllocationRequest:
        return self.requests[0]

    @property
    def name(self) -> str:
        return f"farnode-{self.first.nonce}" if self.kind is Kind.PLAIN else self.first.job_name

    @property
    def stem(self) -> str:
        """What all directories begin with; that of a plain job is its own."""
        return self.first.directory if self.kind is Kind.PLAIN else stem(self.first)

    @property
    def divisible(self) -> bool:
        return self.kind is Kind.ARRAY and len(self.requests) > 1

    def halves(self) -> tuple[Self, Self]:
        middle = len(self.requests) // 2
        return replace(self, requests=self.requests[:middle]), replace(self, requests=self.requests[middle:])

    def ids(self, job: str | None) -> list[AllocationId]:
        """One for each request; `job` is what sbatch answered, None when nobody knows."""
        elements = job is not None and self.kind is Kind.ARRAY
        return [AllocationId(each.nonce, f"{job}_{each.index}" if elements else job) for each in self.requests]


def submissions(wanted: Iterable[AllocationRequest], largest: int) -> list[Submission]:
    """`largest` is Slurm's MaxArraySize, which every index of an array must be below; others become plain jobs."""
    made: list[Submission] = []
    alike: defaultdict[str, list[tuple[AllocationRequest, list[AllocationRequest]]]] = defaultdict(list)
    for request in wanted:
        if request.index is None or (request.index >= largest and not request.together):
            made.append(Submission(Kind.PLAIN, (request,)))
            continue
        common = _common(request)
        for other, members in alike[request.base]:
            if other == common:
                members.append(request)
                break
        else:
            alike[request.base].append((common, [request]))
    return made + [_several(members) for groups in alike.values() for _, members in groups]


def stem(request: AllocationRequest) -> str:
    return request.directory.removesuffix(f"-{request.index}")


def ranges(indices: Sequence[int]) -> str:
    """As Slurm writes them: `0-3,7`."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1][1:] = [index]
        else:
            runs.append([index])
    return ",".join("-".join(map(str, run)) for run in runs)


def _several(members: list[AllocationRequest]) -> Submission:
    kind = Kind.GANG if members[0].together else Kind.ARRAY
    return Submission(kind, tuple(sorted(members, key=lambda request: request.index or 0)))


def _common(request: AllocationRequest) -> AllocationRequest:
    """All but what is each one's own."""
    environment = {name: value for name, value in request.environment.items() if name != ALLOCATION}
    return replace(request, nonce=request.base, directory=stem(request), environment=environment)
