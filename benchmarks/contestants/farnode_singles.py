"""farnode's client, one pod at a time on a system that has nothing else to do.

A round is {"pods": how many}; the answer has the milliseconds from the call of submit until the client knew that the
pod ran, or had ended where that was told first (`start_ms`), and from the pod's own last moment until the client knew
that it had ended (`end_ms`). A pod lives for 50 ms, so that both are told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import rounds

from farnode import AsyncClient

STAMP = Path.home() / "stamp"
SCRIPT = f'sleep 0.05; echo "$EPOCHREALTIME" >{STAMP}'
PAUSE = 0.02
"""Seconds between pods, so that nothing of the last one is still being done."""


def manifest(name: str) -> dict[str, Any]:
    resources = {"requests": {"cpu": "1"}}
    container = {"name": "c", "image": "none", "command": ["/bin/bash", "-c", SCRIPT], "resources": resources}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {"farnode.io/runtime": "process"}},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }


async def single(client: AsyncClient, watch: AsyncIterator[Any], name: str) -> tuple[float, float]:
    begun, start = time.perf_counter(), 0.0
    (submitted,) = await client.submit(manifest(name))
    async for event in watch:
        view = event.get("pod")
        if view is None or view["uid"] != submitted.uid:
            continue
        now, known = time.perf_counter(), time.time()
        if not start and (view["ended"] or runs(view)):
            start = (now - begun) * 1000
        if view["ended"]:
            assert view["status"]["phase"] == "Succeeded", view
            return start, (known - float(STAMP.read_text())) * 1000
    raise AssertionError("the watch ended")


def runs(view: Any) -> bool:
    return any("running" in one["state"] for one in view["status"].get("containerStatuses", ()))


async def measure(pods: int) -> dict[str, Any]:
    found = []
    async with AsyncClient("box") as client:
        watch = client.watch()
        for index in range(pods + 1):
            found.append(await single(client, watch, f"single-{time.time_ns()}-{index}"))
            await asyncio.sleep(PAUSE)
    del found[0]  # it opened the connections
    return {"start_ms": [start for start, _ in found], "end_ms": [end for _, end in found]}


if __name__ == "__main__":
    rounds.serve(lambda asked: asyncio.run(measure(asked["pods"])))
