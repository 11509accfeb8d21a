"""A site at one moment, in lines and tables: what is allocated, what it is used for, what waits and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farnode.cli import facts, tables, words
from farnode.cli.section import Section
from farnode.model.api import CallsView, NodeHoursView, SiteAllocation, SiteView, WaitingView

_OWNERS = 8
"""Those with the most node-hours, who are named."""
_QUEUED = "queued"
_RUNNING = "running"

Job = list[SiteAllocation]
"""What is one job of the batch system: the nodes of a gang, or one allocation."""


@dataclass(frozen=True, slots=True)
class Overview:
    lines: list[str]
    sections: list[Section]

    def text(self, most: int) -> str:
        """At most so many rows of each table."""
        parts = ["\n".join(self.lines)]
        for section in self.sections:
            rows, rest = section.cut(most)
            parts.append("\n".join(filter(None, [tables.columns(rows), rest])))
        return "\n\n".join(parts)


def overview(site: SiteView, now: float, pods: bool) -> Overview:
    """`now` in seconds since the epoch; with `pods` also what runs where."""
    jobs = sorted(jobs_of(site.get("allocations") or ()), key=_order)
    waiting = site.get("waiting") or []
    sections = [
        Section(_ALLOCATIONS, [_job(job, now) for job in jobs], _SPARE),
        Section(_WAITING, [_waits(group, now) for group in waiting]),
        *([Section(_PODS, [row for job in jobs for row in _pods(job)])] if pods else []),
    ]
    return Overview(list(_lines(site, jobs)), [section for section in sections if section.rows])


# ---- the site as a whole ---------------------------------------------------------------------------------------------


def _lines(site: SiteView, jobs: Sequence[Job]) -> Iterable[str]:
    problem = site.get("problem")
    yield f"{site.get('name', '')}: {state(site)}" + (f": {_flat(problem)}" if problem else "")
    waiting = sum(group["pods"] for group in site.get("waiting") or ())
    running = sum(seat.get("pods", 0) for job in jobs for seat in job)
    yield f"allocations: {counts(phases(jobs))}; pods: {running:,} bound, {waiting:,} waiting"
    if calls := site.get("calls"):
        yield _calls(calls)
    if hours := site.get("nodeHours"):
        yield _hours(hours)


def state(site: SiteView) -> str:
    if site.get("draining"):
        return "Draining"
    return "Ready" if site.get("healthy") else "Unhealthy"


def phases(jobs: Iterable[Job]) -> Mapping[str, int]:
    return tally(str(job[0].get("phase") or "?") for job in jobs)


def tally(values: Iterable[str]) -> Mapping[str, int]:
    """How often each is there, in the order in which they come."""
    found: dict[str, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return found


def counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {what}" for what, number in counted.items() if number) or "0"


def calls_left(calls: CallsView) -> str:
    return f"{int(calls['left'])} of {calls['burst']}"


def _calls(calls: CallsView) -> str:
    made = ", ".join(f"{name} {count}" for name, count in sorted(calls["made"].items())) or "none"
    held = f"; {calls['waiting']} held back" if calls["waiting"] else ""
    return f"calls to the batch system: {calls_left(calls)} left, {calls['perMinute']:g} a minute{held}; made: {made}"


def _hours(hours: NodeHoursView) -> str:
    cap = f" of {hours['cap']:g}" if "cap" in hours else ""
    spent = sorted(hours.get("today", {}).items(), key=lambda item: -item[1])
    listed = ", ".join(f"{owner} {used:.1f}{cap}" for owner, used in spent[:_OWNERS]) or f"none{cap}"
    more = f", and {len(spent) - _OWNERS} more owners" if len(spent) > _OWNERS else ""
    return f"node-hours today: {listed}{more}"


def _flat(text: str) -> str:
    """In one line: what a job script or a batch system says may have many."""
    return " ".join(text.split())


# ---- allocations -----------------------------------------------------------------------------------------------------

_ALLOCATIONS = [
    *("JOB", "KIND", "OFFER", "NODES", "STATE", "AGE", "LEFT"),
    *("CORES", "MEMORY", "GPUS", "PODS", "OWNER", "SAYS"),
]
_SPARE = ("OFFER", "AGE", "OWNER", "MEMORY", "KIND", "LEFT", "NODES")


def jobs_of(allocations: Sequence[SiteAllocation]) -> list[Job]:
    jobs: dict[str, Job] = {}
    for each in allocations:
        nonce = each.get("nonce", "")
        key = nonce.partition("-")[0] if each.get("kind") == "gang" else nonce
        jobs.setdefault(key, []).append(each)
    return list(jobs.values())


def _order(job: Job) -> tuple[bool, float]:
    """Those that run, then those that do not yet, each the oldest first."""
    return job[0].get("phase") != _RUNNING, job[0].get("askedAt", 0.0)


def _job(job: Job, now: float) -> list[str]:
    first = job[0]
    since = first.get("startedAt") or first.get("askedAt") or now
    ends, runs = first.get("endsAt"), first.get("phase") == _RUNNING
    return [
        _name(first),
        first.get("kind", ""),
        first.get("offer", ""),
        _nodes(job),
        "draining" if runs and first.get("draining") else first.get("phase", ""),
        words.span(now - since),
        words.span(ends - now) if runs and ends is not None else "",
        _of(_sum(job, "used", "millicores") / 1000, _sum(job, "capacity", "millicores") / 1000, "{:g}".format),
        _of(_sum(job, "used", "memory"), _sum(job, "capacity", "memory"), facts.size),
        _of(_sum(job, "used", "gpus"), _sum(job, "capacity", "gpus"), "{:g}".format),
        str(sum(seat.get("pods", 0) for seat in job)),
        first.get("owner", "all"),
        _flat("; ".join(_says(first, now))),
    ]


def _name(allocation: SiteAllocation) -> str:
    return allocation.get("job") or f"({allocation.get('nonce', '')[:8]})"


def _nodes(job: Job) -> str:
    named = list(dict.fromkeys(node for seat in job for node in seat.get("nodes") or ()))
    shown = ",".join(named[:2])
    count = max(len(job), len(named))
    return f"{shown},… ({count})" if count > 2 else shown


def _sum(job: Job, what: str, amount: str) -> float:
    amounts: list[Mapping[str, Any]] = [seat.get(what) or {} for seat in job]  # type: ignore[misc]
    return float(sum(each.get(amount, 0) for each in amounts))


def _of(used: float, total: float, show: Any) -> str:
    return f"{show(used)}/{show(total)}" if total else ""


def _says(allocation: SiteAllocation, now: float) -> Iterable[str]:
    idle, expected = allocation.get("idleSeconds"), allocation.get("expectedStart")
    if idle is not None:
        yield f"idle for {words.span(idle)}"
    runs = allocation.get("phase") == _RUNNING and not allocation.get("draining")
    if not runs and (said := allocation.get("words") or allocation.get("reason")):
        yield said
    if allocation.get("phase") == _QUEUED and expected is not None:
        yield f"expected to start in {words.span(expected - now)}" if expected > now else "expected to start now"


# ---- pods ------------------------------------------------------------------------------------------------------------

_WAITING = ["WAITING", "OLDEST", "WHY"]
_PODS = ["POD", "JOB", "NODE"]


def _waits(group: WaitingView, now: float) -> list[str]:
    return [f"{group['pods']:,}", words.span(now - group["oldest"]), _flat(group["words"])]


def _pods(job: Job) -> Iterable[list[str]]:
    for seat in job:
        names, node = seat.get("running") or [], ",".join(seat.get("nodes") or ())
        yield from ([name, _name(seat), node] for name in names)
        if (more := seat.get("pods", 0) - len(names)) > 0:
            yield [f"… and {more} more", _name(seat), node]
