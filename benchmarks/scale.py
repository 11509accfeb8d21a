"""How a gateway grows: thousands of waiting pods, up to a hundred runners, which `simulator.py` plays in one process.

The gateway is a real one, with its database, TLS, API and planner; Slurm's commands are scripts that have room at once.
For each number of runners and of waiting pods (that many more than fit) it is started anew. Prints one JSON line:
    runs           one object per pair, with
        waiting, runners     as given
        submit_s             first pod handed over -> all of them durable
        memory_mib           of the gateway with all of them; it had `empty_mib` before
        kib_per_pod          the difference, per pod
        restart_s            started again after kill -9 -> it answers
        restart_cpu_s        its CPU until all its runners are back
        idle_cpu_percent     of one core, while nothing happens but heartbeats
        decisions_per_s      a pod bound is one and its end, known to the client, another
        cpu_ms_per_pod       CPU of the gateway for both
    growth         from each number of waiting pods to the next: the ratios of cpu_ms_per_pod and of kib_per_pod

    python benchmarks/scale.py [--waiting 1000 10000 30000] [--runners 10 100] [--idle 20]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from farnode import AsyncClient, FarnodeError

TICKS = os.sysconf("SC_CLK_TCK")
CORES = 4
"""Of a runner; each pod asks for one."""
SETTLED = 4.0
"""Seconds until all runners are back at a gateway that was started again."""
PATIENCE = 1200.0
"""Seconds until a run is given up."""
CONFIG = """
site: bench
state: {root}/state
spool: {root}/spool
provider: {{kind: slurm, path: {root}/tools, burst: 1000, callsPerMinute: 1000}}
runtimes: [process]
runners: {{listen: "127.0.0.1:0", advertise: 127.0.0.1}}
pilots: {{max: {runners}, first: {runners}, idleAfter: 1h}}
quotas: {{podsPerOwner: 100000}}
shareAcrossOwners: true
"""


class Gateway:
    """Its process, started in `root`."""

    def __init__(self, root: Path, runners: int) -> None:
        self._root = root
        self._config = root / "gateway.yaml"
        self._config.write_text(CONFIG.format(root=root, runners=runners))
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> float:
        """Returns the seconds until it answers."""
        begun = time.monotonic()
        self._process = started(self._root, "-m", "farnode.cli", "gateway", "start", "-c", str(self._config))
        while not await self._answers():
            assert self._process.poll() is None, "the gateway ended"
            assert time.monotonic() - begun < PATIENCE, "the gateway does not answer"
            await asyncio.sleep(0.02)
        return time.monotonic() - begun

    async def _answers(self) -> bool:
        try:
            async with AsyncClient("bench", patience=0) as client:
                await client.site()
        except FarnodeError:
            return False
        return True

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def cpu(self) -> float:
        """Seconds of user and system time."""
        fields = self._proc("stat").rsplit(") ", 1)[1].split()
        return sum(map(int, fields[11:13])) / TICKS

    def memory(self) -> float:
        """MiB that are resident."""
        return int(self._proc("statm").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def _proc(self, name: str) -> str:
        assert self._process is not None
        return Path("/proc", str(self._process.pid), name).read_text()


def started(root: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with (root / "log").open("ab") as log:
        return subprocess.Popen([sys.executable, *arguments], stderr=log)


@asynccontextmanager
async def site(root: Path, runners: int) -> AsyncIterator[Gateway]:
    """A gateway that answers, and its runners as soon as they are wanted."""
    os.environ["FARNODE_CONFIG"] = str(root / "config.yaml")
    script = str(Path(__file__).with_name("simulator.py"))
    simulator = started(root, script, str(root), "--nodes", str(runners), "--cores", str(CORES))
    while not (root / "tools" / "scancel").exists():
        assert simulator.poll() is None, "the simulator ended"
        await asyncio.sleep(0.02)
    gateway = Gateway(root, runners)
    await gateway.start()
    try:
        yield gateway
    finally:
        gateway.kill()
        simulator.terminate()
        simulator.wait()


def pod(name: str) -> dict[str, Any]:
    container = {"name": "c", "image": "none", "command": ["/bin/true"], "resources": {"requests": {"cpu": "1"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {"farnode.io/runtime": "process"}},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }


async def run(root: Path, waiting: int, runners: int, quiet: float) -> dict[str, float]:
    async with site(root, runners) as gateway, AsyncClient("bench", patience=PATIENCE) as client:
        empty = gateway.memory()
        begun, total = time.monotonic(), waiting + runners * CORES
        await client.submit([pod(f"p{index}") for index in range(total)])
        submitted = time.monotonic() - begun
        await _all_running(client, runners * CORES)
        memory = gateway.memory()
        gateway.kill()
        restart = await gateway.start()
        await asyncio.sleep(SETTLED)
        before = restart_cpu = gateway.cpu()
        await asyncio.sleep(quiet)
        idle = gateway.cpu() - before
        before, begun = gateway.cpu(), time.monotonic()
        (root / "go").touch()
        await _all_ended(client, total)
        wall, used = time.monotonic() - begun, gateway.cpu() - before
        decisions = waiting + total
    return {
        "waiting": waiting,
        "runners": runners,
        "submit_s": round(submitted, 2),
        "empty_mib": round(empty, 1),
        "memory_mib": round(memory, 1),
        "kib_per_pod": round((memory - empty) * 1024 / total, 2),
        "restart_s": round(restart, 2),
        "restart_cpu_s": round(restart_cpu, 2),
        "idle_cpu_percent": round(100 * idle / quiet, 2),
        "decisions_per_s": round(decisions / wall, 1),
        "cpu_ms_per_pod": round(used * 1000 / decisions * 2, 3),
    }


async def _all_running(client: AsyncClient, pods: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while (await client.site())["pods"].get("Running", 0) < pods:
        assert time.monotonic() < deadline, "the runners do not come"
        await asyncio.sleep(0.1)


async def _all_ended(client: AsyncClient, pods: int) -> None:
    ended: set[str] = set()
    async with asyncio.timeout(PATIENCE):
        async for event in client.watch():
            view = event.get("pod")
            if view is not None and view["ended"]:
                assert view["status"]["phase"] == "Succeeded", view
                ended.add(view["uid"])
            if len(ended) == pods:
                return


def growth(runs: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    found = []
    for runners in sorted({each["runners"] for each in runs}):
        alike = sorted((each for each in runs if each["runners"] == runners), key=lambda each: each["waiting"])
        for less, more in pairwise(alike):
            ratios = {name: round(more[name] / less[name], 2) for name in ("cpu_ms_per_pod", "kib_per_pod")}
            found.append({"runners": runners, "from": less["waiting"], "to": more["waiting"], **ratios})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, nargs="+", default=[1000, 10_000, 30_000])
    parser.add_argument("--runners", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--idle", type=float, default=20.0, help="seconds for which an idle gateway is watched")
    options = parser.parse_args()
    runs = []
    for runners in options.runners:
        for waiting in options.waiting:
            with tempfile.TemporaryDirectory(prefix="farnode-scale-") as directory:
                runs.append(asyncio.run(run(Path(directory), waiting, runners, options.idle)))
    print(json.dumps({"runs": runs, "growth": growth(runs)}))


if __name__ == "__main__":
    main()
