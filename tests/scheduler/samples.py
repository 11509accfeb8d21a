"""Rooms and pods with little to say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from farnode.model.demand import Demand, GpuDemand
from farnode.model.offer import GpuOffer
from farnode.scheduler.matching import Terms, match
from farnode.scheduler.queue import Queue, Shape
from farnode.scheduler.room import Room

GIB = 1 << 30
A100 = GpuOffer("nvidia.com", "nvidia_a100-sxm4-40gb", 4, 40 * GIB)
TERMS = Terms(default_need=3600.0, margin=120.0, starve_after=300.0)


def room(nonce: str = "n", **given: Any) -> Room:
    """Eight cores and as many GiB of anybody's, without end, on a node of its own."""
    defaults: dict[str, Any] = {
        "nonce": nonce,
        "owner": None,
        "partition": "main",
        "account": None,
        "qos": None,
        "millicores": 8000,
        "memory": 8 * GIB,
        "gpu": A100 if given.get("gpus") else None,
        "gpus": 0,
        "node": f"node-of-{nonce}",
        "ports": {},
        "runtimes": frozenset({"process"}),
        "ends_at": None,
    }
    return Room(**defaults | given)


def shape(cores: float = 1, memory: int = 0, gpus: int = 0, owner: str = "alice", **given: Any) -> Shape:
    """Without a word on anything: one core of alice's. `memory` in GiB."""
    runtime = given.pop("runtime", "process")
    if gpus:
        given["gpu"] = GpuDemand("nvidia.com/gpu", gpus)
    return Shape(owner, Demand(int(cores * 1000), memory * GIB, **{"grace": 0.0, **given}), runtime)


def waiting(*pods: tuple[str, Shape] | tuple[str, Shape, float]) -> Queue:
    """Names, shapes and since when they wait: one after the other, where it is not said."""
    queue = Queue()
    for number, (uid, each, *since) in enumerate(pods):
        queue.add(uid, each, since[0] if since else float(number))
    return queue


def matched(queue: Queue, rooms: Iterable[Room], at: float = 100.0, terms: Terms = TERMS) -> dict[str, str]:
    return dict(match(queue, list(rooms), at, terms))
