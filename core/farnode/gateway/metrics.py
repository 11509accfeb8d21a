"""The gateway's figures in Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from farnode.gateway.machine import Machine


def render(machine: Machine, runners: int, healthy: bool, node_seconds: Mapping[str, float]) -> str:
    stages = Counter(pod.stage.value for pod in machine.pods.values())
    lives = Counter(record.life.value for record in machine.allocations.values())
    lines = [
        *_family("farnode_pods", "gauge", "Pods known here, by how far they are.", "stage", stages),
        *_family("farnode_allocations", "gauge", "Allocations known here, by how far they are.", "life", lives),
        *_family("farnode_node_seconds_total", "counter", "Of allocations that ended.", "owner", node_seconds),
        *_single("farnode_runners_connected", "Runners that are connected now.", runners),
        *_single("farnode_healthy", "1 while the database and the batch system answer.", int(healthy)),
    ]
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, words: str, label: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP {name} {words}"
    yield f"# TYPE {name} {kind}"
    for value, count in sorted(values.items()):
        yield f'{name}{{{label}="{value}"}} {count:g}'


def _single(name: str, words: str, value: int) -> Iterator[str]:
    yield f"# HELP {name} {words}"
    yield f"# TYPE {name} gauge"
    yield f"{name} {value}"
