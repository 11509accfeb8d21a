"""The gateway's figures in Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from farnode.gateway.machine import Machine
from farnode.gateway.records import Stage
from farnode.gateway.timings import Histogram
from farnode.providers.port import Calls

REASONS = {Stage.IMAGES: "images", Stage.QUEUED: "room", Stage.PLACED: "allocation"}
"""What pods wait for, by stage."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the machine does not know. Node-seconds by owner; `calls` None where none are counted."""

    runners: int
    healthy: bool
    node_seconds: Mapping[str, float]
    idle_node_seconds: Mapping[str, float]
    calls: Calls | None
    waits: Histogram
    starts: Histogram


def render(machine: Machine, figures: Figures) -> str:
    stages = {stage.value: len(uids) for stage, uids in machine.stages.items() if uids}
    waiting = {reason: len(machine.stages[stage]) for stage, reason in REASONS.items()}
    lives = Counter(record.life.value for record in machine.allocations.values())
    seconds, idle = figures.node_seconds, figures.idle_node_seconds
    lines = [
        *_family("farnode_pods", "gauge", "Pods known here, by how far they are.", "stage", stages),
        *_family("farnode_pods_waiting", "gauge", "Pods that wait, by what for.", "reason", waiting),
        *_family("farnode_allocations", "gauge", "Allocations known here, by how far they are.", "life", lives),
        *_family("farnode_node_seconds_total", "counter", "Of allocations since their runner came.", "owner", seconds),
        *_family("farnode_idle_node_seconds_total", "counter", "Of pilots, not used by pods.", "owner", idle),
        *_single("farnode_runners_connected", "Runners that are connected now.", figures.runners),
        *_single("farnode_healthy", "1 while the database and the batch system answer.", int(figures.healthy)),
        *(_calls(figures.calls) if figures.calls is not None else ()),
        *_histogram("farnode_queue_wait_seconds", "From a pod's wait for room to its binding.", figures.waits),
        *_histogram("farnode_pod_start_seconds", "From a pod's binding to the news that it runs.", figures.starts),
    ]
    return "\n".join(lines) + "\n"


def _calls(calls: Calls) -> Iterator[str]:
    yield from _family("farnode_batch_calls_total", "counter", "Commands to the batch system.", "command", calls.made)
    yield from _single("farnode_batch_calls_left", "Commands that may be made now.", calls.left)
    yield from _single("farnode_batch_calls_waiting", "Commands that are held back now.", calls.waiting)


def _family(name: str, kind: str, words: str, label: str, values: Mapping[str, float]) -> Iterator[str]:
    yield from _heading(name, kind, words)
    for value, count in sorted(values.items()):
        yield f'{name}{{{label}="{_escaped(value)}"}} {_number(count)}'


def _single(name: str, words: str, value: float) -> Iterator[str]:
    yield from _heading(name, "gauge", words)
    yield f"{name} {_number(value)}"


def _histogram(name: str, words: str, histogram: Histogram) -> Iterator[str]:
    yield from _heading(name, "histogram", words)
    for bound, count in histogram.cumulative():
        yield f'{name}_bucket{{le="{bound}"}} {count}'
    yield f"{name}_sum {_number(histogram.sum)}"
    yield f"{name}_count {histogram.count}"


def _heading(name: str, kind: str, words: str) -> Iterator[str]:
    yield f"# HELP {name} {words}"
    yield f"# TYPE {name} {kind}"


def _number(value: float) -> str:
    """Whole numbers without a point; %g would round what a counter of seconds has gathered in a week."""
    return str(int(value)) if value == int(value) else repr(round(value, 6))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
