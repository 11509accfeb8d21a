"""What the matcher takes of one core: pods of five shapes and three owners, all of whom have waited long enough to have
a room kept, and shared pilots of 64 cores and 4 GPUs. CPU time of this process; no I/O, nothing else runs in it.

Prints one JSON line, for 1,000, 10,000 and 30,000 waiting pods and 10 and 100 rooms:
    bind_us    microseconds per binding when all rooms are empty (as many bindings as have room)
    full_us    microseconds per call when nothing is free, or nothing waits
    event_us   microseconds per call when one pod ended (where more wait than have room)
    decisions_per_s   bindings made in those calls

    python benchmarks/matching.py
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from farnode.model.demand import Demand, GpuDemand
from farnode.model.offer import GpuOffer
from farnode.scheduler.matching import Terms, match
from farnode.scheduler.queue import Queue, Shape
from farnode.scheduler.room import Room

GIB = 1 << 30
GPUS = GpuOffer("nvidia.com", "a100", 4)
TERMS = Terms(default_need=3600.0, margin=120.0, starve_after=300.0)
SHAPES = (
    Shape("alice", Demand(1000, GIB), "process"),
    Shape("alice", Demand(2000, GIB), "process"),
    Shape("bob", Demand(1000, 2 * GIB), "process"),
    Shape("bob", Demand(1000, GIB, walltime=600), "process"),
    Shape("carol", Demand(4000, 8 * GIB, GpuDemand("nvidia.com/gpu", 1)), "process"),
)


def queue(waiting: int) -> Queue:
    made = Queue()
    for number in range(waiting):
        made.add(f"pod-{number}", SHAPES[number % len(SHAPES)], float(number) / waiting)
    return made


def rooms(count: int) -> list[Room]:
    return [
        Room(
            nonce=f"n{number}",
            owner=None,
            partition="main",
            account=None,
            qos=None,
            millicores=64_000,
            memory=256 * GIB,
            gpu=GPUS,
            gpus=4,
            node=f"node{number}",
            ports={},
            runtimes=frozenset({"process"}),
            ends_at=None,
        )
        for number in range(count)
    ]


def seconds(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


def measure(waiting: int, count: int) -> dict[str, float]:
    pods, pilots = queue(waiting), rooms(count)
    bound: list[tuple[str, str]] = []
    filling = seconds(lambda: bound.extend(match(pods, pilots, 400.0, TERMS)))
    full = min(seconds(lambda: match(pods, pilots, 400.0, TERMS)) for _ in range(20))
    result = {
        "waiting": waiting,
        "rooms": count,
        "bound": len(bound),
        "bind_us": round(filling / len(bound) * 1e6, 1),
        "full_us": round(full * 1e6, 1),
    }
    return result | (one_by_one(pods, pilots, bound[:500]) if len(pods) >= 500 else {})


def one_by_one(pods: Queue, pilots: list[Room], bound: list[tuple[str, str]]) -> dict[str, float]:
    """Each of these pods ends, and is followed by a call."""
    by_nonce = {room.nonce: room for room in pilots}
    spent, decisions = 0.0, 0
    for uid, nonce in bound:
        by_nonce[nonce].give(uid)
        begun = time.process_time()
        decisions += len(match(pods, pilots, 400.0, TERMS))
        spent += time.process_time() - begun
    return {"event_us": round(spent / len(bound) * 1e6, 1), "decisions_per_s": round(decisions / spent)}


def main() -> None:
    print(json.dumps([measure(waiting, count) for waiting in (1_000, 10_000, 30_000) for count in (10, 100)]))


if __name__ == "__main__":
    main()
