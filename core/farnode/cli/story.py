"""A pod's story in full sentences' worth of lines, for `describe`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from farnode.cli import tables, words
from farnode.client.pod import Pod


def tell(pod: Pod, now: float) -> str:
    """Header, allocation, containers, notes; `now` in seconds since the epoch."""
    return "\n".join([*_facts(_header(pod, now)), *_allocation(pod), *_containers(pod), *_notes(pod, now)])


def _header(pod: Pod, now: float) -> Iterator[tuple[str, str]]:
    yield "Name", pod.name
    yield "Namespace", pod.namespace
    yield "UID", pod.uid
    yield "Owner", pod.view.get("owner", "")
    yield "Labels", ", ".join(f"{key}={value}" for key, value in sorted(pod.labels.items()))
    yield "Created", f"{pod.created_at} ({words.age(pod.created_at, now)} ago)" if pod.created_at else ""
    yield "Status", words.status(pod)
    yield "Reason", pod.reason
    yield "Why", words.why(pod)
    yield "Attempt", str(pod.attempt) if pod.attempt else ""
    yield "GPUs", ", ".join(pod.gpus)


def _allocation(pod: Pod) -> list[str]:
    allocation = pod.allocation
    if not allocation:
        return []
    expected = allocation.get("expectedStart")
    waits = [allocation.get("reason") or "", allocation.get("words") or ""]
    facts = [
        ("Job", allocation.get("job") or ""),
        ("State", allocation.get("phase") or ""),
        ("Offer", allocation.get("offer") or ""),
        ("Nodes", ", ".join(allocation.get("nodes") or ())),
        ("Says", ": ".join(part for part in waits if part)),
        ("Expected", _time(expected) if expected else ""),
    ]
    return ["Allocation:", *(f"  {line}" for line in _facts(facts))]


def _containers(pod: Pod) -> Iterator[str]:
    statuses = pod.container_statuses
    for title, names in (("Init containers:", pod.init_containers), ("Containers:", pod.containers)):
        if names:
            yield title
        for name in names:
            yield f"  {name}:"
            yield from (f"    {line}" for line in _facts(_container(statuses.get(name, {}))))


def _container(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Image", str(status.get("image") or "")
    yield "State", _state(status.get("state"))
    yield "Before", _state(status.get("lastState")) if status.get("lastState") else ""
    yield "Ready", str(bool(status.get("ready")))
    yield "Restarts", str(status.get("restartCount") or 0)


def _state(state: Mapping[str, Any] | None) -> str:
    known: Iterator[tuple[str, Mapping[str, Any]]] = (item for item in (state or {}).items() if item[1] is not None)
    kind, details = next(known, ("", {}))
    if kind == "running":
        return f"running since {details.get('startedAt', '?')}"
    told = [str(details.get("reason") or "")]
    if kind == "terminated":
        code, number = details.get("exitCode", 0), details.get("signal")
        told += [f"exit code {code}", f"signal {number}" if number else ""]
        told += [f"{details.get('startedAt') or '?'} to {details.get('finishedAt') or '?'}"]
    told += [" ".join(str(details.get("message") or "").split())]
    return ": ".join([kind or "not started", *([", ".join(part for part in told if part)] if any(told) else [])])


def _notes(pod: Pod, now: float) -> Sequence[str]:
    if not pod.notes:
        return []
    rows = [
        ["  " + _time(note["at"]), words.span(now - note["at"]), note.get("reason", ""), note.get("message", "")]
        for note in pod.notes
    ]
    return ["Events:", *tables.columns([["  TIME", "AGE", "REASON", "MESSAGE"], *rows]).split("\n")]


def _facts(facts: Sequence[tuple[str, str]] | Iterator[tuple[str, str]]) -> list[str]:
    """`Name:  value` lines; what has no value is left out."""
    told = [(f"{name}:", value) for name, value in facts if value]
    width = max((len(name) for name, _ in told), default=0)
    return [f"{name.ljust(width)}  {value}" for name, value in told]


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
