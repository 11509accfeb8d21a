"""The virtual node on a real control plane with the embedded site: how many pods it moves, and how soon it tells.

Prints one JSON line:

    pods_per_s_2000                 pods that exit at once: first creation -> a watch has shown the success of all
    bare_pods_per_s                 the same of a client that patches each pod's status twice, and runs nothing
    ratio                           the median of the two in rounds that follow one another
    scheduled_pods_per_s_2000       by way of the scheduler, each with a service account's token mounted
    start_ms_p50, start_ms_p99      creation -> a watch shows Running, on a warm pilot, one pod at a time
    stale_ms_p50_N, stale_ms_p99_N  the pod's own last moment -> a watch shows its end, while N others run
    api_calls_per_pod               of the node, from creation until the pod is deleted, whatever it does meanwhile
    node_cpu_ms_per_pod             likewise
    node_mb_10000                   its memory's growth when 10,000 pods wait at the site (node_mb_5000: half of them)
    others                          the largest share of this machine's time that went elsewhere, by part

    python benchmarks/node.py [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import kube
from benchmarks.cluster import Load, Node, cluster
from benchmarks.ground import progress
from benchmarks.kube import Json, Kube, Sight
from benchmarks.latency import percentiles
from tests.node.stack import NODE

BARE = "bare"
"""The node that nobody runs."""
SLEEP = ["sleep", "1000000"]
WHOLE = {"resources": {"requests": {"cpu": "200"}}}
"""A container beside which there is no room for another such."""
TOKEN = {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
MOUNT = {"volumeMounts": [{"name": "token", "mountPath": "/run/token"}]}
WARM = 200
"""Pods after which all connections are there and all is loaded."""
REST = 0.1
"""CPU seconds of a second in which the node has nothing to do but what it does all the time."""
PATIENCE = 120.0


@dataclass(frozen=True)
class Size:
    pods: int
    rounds: int
    running: Sequence[int]
    probes: int
    waiting: int


FULL = Size(pods=2000, rounds=3, running=(100, 300, 1000), probes=100, waiting=10_000)
QUICK = Size(pods=60, rounds=1, running=(5, 10), probes=5, waiting=100)


@dataclass(frozen=True)
class Bench:
    size: Size
    kube: Kube
    node: Node
    load: Load
    others: dict[str, float] = field(default_factory=dict)

    @asynccontextmanager
    async def part(self, name: str) -> AsyncIterator[str]:
        """A namespace of its own; how loud the machine was meanwhile is written down."""
        await self.kube.namespace(name)
        self.load.others()
        yield name
        part = name.partition("-")[0]
        self.others[part] = round(max(self.others.get(part, 0.0), self.load.others()), 2)


# ---- many pods -------------------------------------------------------------------------------------------------------


async def rates(bench: Bench) -> dict[str, float]:
    """Each round is the bare client's and then the node's: what else the machine does is alike for both."""
    rounds = []
    for number in range(bench.size.rounds):
        bare = await bare_rate(bench, f"bare-{number}")
        one = await node_rate(bench, f"real-{number}")
        rounds.append({"bare_pods_per_s": bare, **one, "ratio": one[f"pods_per_s_{bench.size.pods}"] / bare})
        progress("round", rounds[-1])
    return {key: round(statistics.median(one[key] for one in rounds), 2) for key in rounds[0]}


async def bare_rate(bench: Bench, name: str) -> float:
    async with bench.part(name) as namespace:
        objects = exiting(bench.size.pods, BARE)
        seconds = await kube.flood(bench.kube, namespace, objects, partial(kube.play_node, bench.kube))
        await bench.kube.call("DELETE", kube.pods(namespace), {"gracePeriodSeconds": 0})
    return bench.size.pods / seconds


async def node_rate(bench: Bench, name: str) -> dict[str, float]:
    node, pods = bench.node, bench.size.pods
    async with bench.part(name) as namespace:
        calls, cpu = Counter(node.calls()), node.cpu_seconds()
        objects = exiting(pods, NODE)
        seconds = await kube.flood(bench.kube, namespace, objects)
        await kube.remove(bench.kube, namespace, objects)
        used, made = node.cpu_seconds() - cpu, Counter(node.calls()) - calls
    progress("calls", made)
    return {
        f"pods_per_s_{pods}": pods / seconds,
        "api_calls_per_pod": made.total() / pods,
        "node_cpu_ms_per_pod": used * 1000 / pods,
    }


async def scheduled_rate(bench: Bench) -> dict[str, float]:
    async with bench.part("scheduled") as namespace:
        objects = exiting(bench.size.pods, None, MOUNT, volumes=[TOKEN])
        seconds = await kube.flood(bench.kube, namespace, objects)
        await kube.remove(bench.kube, namespace, objects)
    return {f"scheduled_pods_per_s_{bench.size.pods}": round(bench.size.pods / seconds, 2)}


def exiting(count: int, node: str | None, container: Json | None = None, **spec: Any) -> list[Json]:
    return [kube.pod(f"pod-{number}", ["true"], node, container, **spec) for number in range(count)]


# ---- one pod at a time -----------------------------------------------------------------------------------------------


async def latencies(bench: Bench) -> dict[str, float]:
    """Starts are those beside the fewest others."""
    found: dict[str, float] = {}
    async with bench.part("running") as namespace, kube.sight(bench.kube, namespace) as seen:
        running = 0
        for wanted in bench.size.running:
            others = [kube.pod(f"other-{number}", SLEEP, NODE) for number in range(running, wanted)]
            await bench.kube.create(kube.pods(namespace), others)
            await seen.shows(kube.names(others), "Running")
            running = wanted
            await settled(bench.node)
            probes = [await probe(bench, seen, namespace, f"probe-{wanted}-{n}") for n in range(bench.size.probes)]
            starts, ends = zip(*probes, strict=True)
            found = percentiles("start_ms", starts) | found | _stale(ends, wanted)
            progress("latency", percentiles("start_ms", starts) | _stale(ends, wanted))
        everything = {name for name, _ in seen.at}
        await bench.kube.call("DELETE", kube.pods(namespace))
        await seen.shows(everything, "gone")
    return found


def _stale(values: Sequence[float], running: int) -> dict[str, float]:
    return {f"{key}_{running}": value for key, value in percentiles("stale_ms", values).items()}


async def probe(bench: Bench, seen: Sight, namespace: str, name: str) -> tuple[float, float]:
    """Milliseconds until a watch shows that one pod runs, and, from its last moment, that it has ended. It ends when
    it is told to, after it was seen to run."""
    gate, last = (bench.node.directory / f"{name}.{kind}" for kind in ("gate", "last"))
    os.mkfifo(gate)
    held = os.open(gate, os.O_RDWR)  # so that nobody waits for the other side to come
    try:
        created = time.time()
        script = f'read -r _ <"{gate}"; date +%s%N >"{last}"'
        await bench.kube.create(kube.pods(namespace), [kube.pod(name, ["sh", "-c", script], NODE)])
        await seen.shows([name], "Running")
        os.write(held, b"\n")
        await seen.shows([name], "Succeeded")
    finally:
        os.close(held)
    ended = int(last.read_text()) / 1e9
    return (seen.at[name, "Running"] - created) * 1000, (seen.at[name, "Succeeded"] - ended) * 1000


# ---- memory ----------------------------------------------------------------------------------------------------------


async def memory(bench: Bench) -> dict[str, float]:
    """Of a node that was just started and has had some pods: neither what it kept of earlier ones nor what it loads
    for the first is part of the growth."""
    found, waiting = {}, bench.size.waiting
    async with bench.part("waiting") as namespace, kube.sight(bench.kube, namespace) as seen:
        await bench.kube.create(kube.pods(namespace), [kube.pod("first", SLEEP, NODE, WHOLE)])
        await seen.shows(["first"], "Running")
        bench.node.stop()
        bench.node.begin()
        await warm(bench, "waiting-warm")
        empty = await settled(bench.node)
        for half in (range(waiting // 2), range(waiting // 2, waiting)):
            objects = [kube.pod(f"pod-{number}", ["true"], NODE, WHOLE) for number in half]
            await bench.kube.create(kube.pods(namespace), objects)
            await seen.shows(kube.names(objects), "Waiting")
            found[f"node_mb_{half.stop}"] = round(await settled(bench.node) - empty, 1)
    return found


async def warm(bench: Bench, name: str) -> None:
    """A pilot is there afterwards."""
    async with bench.part(name) as namespace:
        await kube.flood(bench.kube, namespace, exiting(WARM, NODE))


async def settled(node: Node) -> float:
    """Its MiB when it has nothing left to do, but what it does all the time."""
    deadline = time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < deadline, "the node does not come to rest"
        before = node.cpu_seconds()
        await asyncio.sleep(1.0)
        if node.cpu_seconds() - before < REST:
            return node.mebibytes()


# ---- all of it -------------------------------------------------------------------------------------------------------


async def measure(node: Node, size: Size) -> dict[str, Any]:
    async with Kube(node.plane.url, node.plane.directory) as client:
        await client.call("POST", "/api/v1/nodes", {"metadata": {"name": BARE}, "spec": {"unschedulable": True}})
        bench = Bench(size, client, node, Load(node.plane.directory, node.site.directory))
        await warm(bench, "warm")
        found = await rates(bench)
        for more in (scheduled_rate, latencies, memory):
            found |= await more(bench)
    return {**found, "others": bench.others}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK.pods} pods where else there are thousands")
    size = QUICK if parser.parse_args().quick else FULL
    with cluster() as node:
        found = asyncio.run(measure(node, size))
    print(json.dumps({"benchmark": "node", **found}))


if __name__ == "__main__":
    main()
