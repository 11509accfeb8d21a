"""Allocations as one call of scancel, where their name alone says which jobs are meant."""

from __future__ import annotations

from collections.abc import Collection

from farnode.model.allocation import AllocationId, base_of, index_of


def by_name(ids: Collection[AllocationId]) -> list[str] | None:
    """The command for a job, or for elements of one array. `--name` beside ids ends those that carry both: seen with
    24.11, which passes over a job of another name without a word. None where Slurm must be asked first: of several
    names, because scancel takes one; of what may be no array's element though it has an index."""
    names = {base_of(each.nonce) for each in ids}
    elements = {each.job or "" for each in ids if index_of(each.nonce) is not None}
    if len(names) != 1 or not all("_" in job for job in elements):
        return None
    return ["scancel", f"--name=farnode-{names.pop()}", *sorted(elements)]
