"""The node's own figures in Prometheus' text format."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from farnode.node.controller import Controller


def render(controllers: Iterable[Controller], calls: Mapping[str, int], dropped: int, streams: int) -> str:
    """`calls` to the API server, by verb and resource; `dropped` Events; `streams` that are open."""
    phases: dict[tuple[str, str], int] = {}
    waiting: dict[str, int] = {}
    reachable: dict[str, int] = {}
    for controller in controllers:
        node = controller.mirror.node
        phases |= {(node, phase): count for phase, count in controller.mirror.phases().items()}
        waiting[node] = controller.waiting
        reachable[node] = int(controller.reachable)
    lines = [
        *_heading("farnode_node_pods", "gauge", "Pods bound to the node, by phase."),
        *(f'farnode_node_pods{{node="{node}",phase="{phase}"}} {count}' for (node, phase), count in phases.items()),
        *_by("farnode_node_queue", "gauge", "Pods that wait to be looked after.", "node", waiting),
        *_by("farnode_node_site_reachable", "gauge", "1 while the node's site answers.", "node", reachable),
        *_by("farnode_node_api_calls_total", "counter", "Calls to the API server.", "call", calls),
        *_heading("farnode_node_events_dropped_total", "counter", "Events that were not written: too many at once."),
        f"farnode_node_events_dropped_total {dropped}",
        *_heading("farnode_node_streams", "gauge", "Logs, exec, attach and port-forward sessions."),
        f"farnode_node_streams {streams}",
        *_heading("farnode_node_tasks", "gauge", "Of the process' event loop."),
        f"farnode_node_tasks {len(asyncio.all_tasks())}",
    ]
    return "\n".join(lines) + "\n"


def _by(name: str, kind: str, words: str, label: str, values: Mapping[str, int]) -> Iterator[str]:
    yield from _heading(name, kind, words)
    for value, count in sorted(values.items()):
        yield f'{name}{{{label}="{value}"}} {count}'


def _heading(name: str, kind: str, words: str) -> Iterator[str]:
    yield f"# HELP {name} {words}"
    yield f"# TYPE {name} {kind}"
