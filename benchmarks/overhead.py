"""What farnode itself costs a pod: a no-op pod on the warm embedded site, `process` runtime, every process counted.

Prints one JSON line:
    cpu_ms_per_pod   CPU of client, gateway, supervisor, runner and the pods' own processes, per pod of a batch
    start_ms_p50/99  submit called -> client sees the container running or ended; one pod at a time
    end_ms_p50       submit called -> client sees the pod's end
A bare fork and exec of /bin/true costs 0.8 CPU ms on the machine where the figures in README.md were taken.

    python benchmarks/overhead.py [--pods 300] [--singles 200]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from farnode import AsyncClient

TICKS = os.sysconf("SC_CLK_TCK")
CONFIG = """
site: bench
state: {root}/state
spool: {root}/spool
provider: {{kind: local, cores: 16, memory: 16Gi}}
runtimes: [process]
runners: {{listen: "127.0.0.1:0", advertise: 127.0.0.1}}
shareAcrossOwners: true
pollInterval: 1s
python: {python}
"""


def pod(name: str) -> dict[str, Any]:
    container = {"name": "c", "image": "none", "command": ["/bin/true"], "resources": {"requests": {"cpu": "1m"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {"farnode.io/runtime": "process"}},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }


def cpu_seconds(root: Path) -> float:
    """User and system time of this process and of all processes of the site, with their ended children."""
    total = sum(os.times()[:2])
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str(root).encode() in (entry / "cmdline").read_bytes():
                    fields = (entry / "stat").read_text().rsplit(") ", 1)[1].split()
                    total += sum(map(int, fields[11:15])) / TICKS
            except OSError:
                continue
    return total


async def single(client: AsyncClient, name: str, after: int) -> tuple[float, float, int]:
    """Milliseconds to the start and to the end of one pod, as its client sees them."""
    watch = client.watch(after)
    begun = time.perf_counter()
    (submitted,) = await client.submit([pod(name)])
    started = None
    async for event in watch:
        view = event.get("pod")
        if view is None or view["uid"] != submitted.uid:
            continue
        now = (time.perf_counter() - begun) * 1000
        state = view["status"]["containerStatuses"][0]["state"]
        if started is None and "waiting" not in state:
            started = now
        if view["ended"]:
            assert view["status"]["phase"] == "Succeeded", view
            return started or now, now, event["seq"]
    raise AssertionError("the watch ended")


async def batch(client: AsyncClient, pods: int) -> None:
    submitted = await client.submit([pod(f"batch-{index}") for index in range(pods)])
    left = {one.uid for one in submitted}
    async for event in client.watch(0):
        view = event.get("pod")
        if view is not None and view["ended"]:
            left.discard(view["uid"])
        if not left:
            return


async def measure(root: Path, pods: int, singles: int) -> dict[str, float]:
    async with AsyncClient("bench") as client:
        await batch(client, 20)  # warm: the runner is up, modules are loaded
        before = cpu_seconds(root)
        begun = time.perf_counter()
        await batch(client, pods)
        wall = time.perf_counter() - begun
        cpu = cpu_seconds(root) - before
        latencies, seq = [], 0
        for index in range(singles):
            start, end, seq = await single(client, f"single-{index}", seq)
            latencies.append((start, end))
    starts, ends = sorted(s for s, _ in latencies), sorted(e for _, e in latencies)
    return {
        "pods": pods,
        "cpu_ms_per_pod": round(cpu * 1000 / pods, 2),
        "pods_per_s": round(pods / wall, 1),
        "start_ms_p50": round(statistics.median(starts), 1),
        "start_ms_p99": round(starts[int(len(starts) * 0.99)], 1),
        "end_ms_p50": round(statistics.median(ends), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=300)
    parser.add_argument("--singles", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="farnode-bench-") as directory:
        root = Path(directory)
        os.environ["FARNODE_CONFIG"] = str(root / "config.yaml")
        config = root / "gateway.yaml"
        config.write_text(CONFIG.format(root=root, python=sys.executable))
        command = [sys.executable, "-m", "farnode.cli", "gateway"]
        gateway = subprocess.Popen([*command, "start", "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 30
            while not (root / "sites.d" / "bench.yaml").exists():
                assert gateway.poll() is None, "the gateway ended"
                assert time.monotonic() < deadline, "the gateway does not answer"
                time.sleep(0.05)
            print(json.dumps(asyncio.run(measure(root, options.pods, options.singles))))
            subprocess.run([*command, "stop", "--all", "-c", str(config)], check=True, stdout=subprocess.DEVNULL)
        finally:
            gateway.terminate()
            gateway.wait()


if __name__ == "__main__":
    main()
