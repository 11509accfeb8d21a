"""Which containers use more than they may, and what becomes of them. Pure.

Sources: Kubernetes, "Resource Management for Pods and Containers" (what is above its memory limit is ended with reason
OOMKilled; a pod's files in memory count) and "Process ID Limits And Reservations".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .usage import Subject, Usage

OOM_KILLED = "OOMKilled"
AROUND = 32
"""Processes of a runtime's own that may stand around a container and do not count for it."""


class Sentence(NamedTuple):
    """The `place` of the container among the subjects, and the reason and message of its end."""

    place: int
    reason: str
    message: str


def sentences(subjects: Sequence[Subject], usages: Sequence[Usage]) -> list[Sentence]:
    """One at most for each."""
    found = {one.place: one for one in (*_processes(subjects, usages), *_pods(subjects, usages))}
    found.update((one.place, one) for one in _memory(subjects, usages))
    return list(found.values())


def headroom(subjects: Sequence[Subject], usages: Sequence[Usage]) -> tuple[float, float]:
    """The least memory (bytes) and the fewest processes with which one of them would be above a limit."""
    pairs = list(zip(subjects, usages))
    memory = [one.memory - usage.memory for one, usage in pairs if one.memory is not None]
    tasks = [one.processes - usage.tasks for one, usage in pairs if one.processes is not None]
    return max(0, min(memory, default=float("inf"))), max(0, min(tasks, default=float("inf")))


def _processes(subjects: Sequence[Subject], usages: Sequence[Usage]) -> Iterator[Sentence]:
    for index, (subject, usage) in enumerate(zip(subjects, usages)):
        if subject.processes is not None and usage.tasks > subject.processes + AROUND:
            words = f"the container had {usage.tasks} processes and threads, the site's limit is {subject.processes}"
            yield Sentence(index, "Error", words)


def _memory(subjects: Sequence[Subject], usages: Sequence[Usage]) -> Iterator[Sentence]:
    for index, (subject, usage) in enumerate(zip(subjects, usages)):
        if subject.memory is not None and usage.held.total > subject.memory:
            yield Sentence(index, OOM_KILLED, "")


def _pods(subjects: Sequence[Subject], usages: Sequence[Usage]) -> Iterator[Sentence]:
    """Where every container of a pod has a limit, the pod has their sum; above it the one that uses most is ended."""
    pods: dict[str, list[int]] = {}
    for index, subject in enumerate(subjects):
        pods.setdefault(subject.attempt, []).append(index)
    for members in pods.values():
        limits = [subjects[index].memory for index in members]
        held = [usages[index].held for index in members]
        shared = max(sum(one.shared for one in held), usages[members[0]].files)
        if None not in limits and sum(one.private for one in held) + shared > sum(filter(None, limits)):
            yield Sentence(max(members, key=lambda index: usages[index].held.total), OOM_KILLED, "")
