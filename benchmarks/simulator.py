"""Runners that only say that they run pods, hundreds in one process, and the Slurm commands that start them.

To a gateway they are real: they dial it with TLS, show the token of their allocation, answer orders, number and batch
their events, ping, and say goodbye when they are told to leave. A pod runs until the file `go` exists in the root and,
once it does, for SECONDS.

    python benchmarks/simulator.py ROOT --nodes 10 --cores 4 [--seconds 0.02]

ROOT/tools then has the commands, and ROOT/jobs a file for each job that was submitted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import time
import uuid
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from farnode.wire.frames import ProtocolError
from farnode.wire.link import Link

BATCH = 0.005
"""Seconds in which a runner gathers its events into one message."""
LOOK = 0.05
"""Seconds between looks at what was submitted, and at whether pods may end."""
AGAIN = 0.3
"""Seconds before a runner dials again."""
SBATCH = """\
for word; do case $word in --array=*) array=${{word#--array=}};; --job-name=*) name=${{word#--job-name=}};; esac; done
printf '%s\\n' "$FARNODE_ALLOCATION" "$name" "$array" >{root}/jobs/.$$
mv {root}/jobs/.$$ {root}/jobs/$$
echo $$
"""
SCONTROL = """\
for last; do :; done
case $last in
config) echo "AccountingStorageType = (null)"; echo "ClusterName = simulated"; echo "MaxArraySize = 1001";;
partition) echo "PartitionName=main AllowAccounts=ALL AllowQos=ALL Default=YES QoS=N/A MaxTime=UNLIMITED State=UP";;
node) i=0; while [ $i -lt {nodes} ]; do i=$((i + 1))
    echo "NodeName=n$i CPUTot={cores} RealMemory={memory} State=IDLE Partitions=main "; done;;
esac
"""


def write_tools(root: Path, nodes: int, cores: int) -> None:
    """Commands of a Slurm with so many nodes of so many cores, which has room at once."""
    for name in ("tools", "jobs"):
        (root / name).mkdir()
    (root / "queue").touch()
    sizes = {"root": root, "nodes": nodes, "cores": cores, "memory": cores * 1024}
    bodies = {"sbatch": SBATCH, "scontrol": SCONTROL, "squeue": "cat {root}/queue\n", "scancel": ":\n"}
    for name, body in bodies.items():
        path = root / "tools" / name
        path.write_text("#!/bin/sh\n" + body.format(**sizes))
        path.chmod(0o755)


class Site:
    """What all runners share."""

    def __init__(self, root: Path, seconds: float) -> None:
        self.root = root
        self.seconds = seconds
        self.go = asyncio.Event()
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE

    async def run(self) -> None:
        known: set[Path] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                if not self.go.is_set() and (self.root / "go").exists():
                    self.go.set()
                for path in set((self.root / "jobs").glob("[0-9]*")) - known:
                    known.add(path)
                    for job, nonce, directory in _started(path):
                        self._list(job, nonce)
                        group.create_task(Runner(self, job, directory).run())
                await asyncio.sleep(LOOK)

    def _list(self, job: str, nonce: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        with (self.root / "queue").open("a") as queue:
            queue.write("|~|".join((job, "RUNNING", now, now, f"n{job}", "None", f"farnode-{nonce}")) + "\n")


def _started(path: Path) -> list[tuple[str, str, Path]]:
    """Job id, its name's nonce and its directory, of each job that was submitted."""
    directory, name, array = path.read_text().split("\n")[:3]
    nonce = name.removeprefix("farnode-")
    if not array:
        return [(path.name, nonce, Path(directory))]
    return [(f"{path.name}_{index}", nonce, Path(f"{directory}-{index}")) for index in _indices(array)]


def _indices(array: str) -> list[int]:
    found: list[int] = []
    for part in array.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


class Runner:
    """One of them. `alive` are its attempts, by uid, with the names of their containers and images."""

    def __init__(self, site: Site, job: str, directory: Path) -> None:
        self._site = site
        self._job = job
        self._path = directory / "connect.json"
        self._incarnation = uuid.uuid4().hex
        self._session = ""
        self._alive: dict[tuple[str, int], dict[str, Any]] = {}
        self._seq = 0
        self._kept: deque[dict[str, Any]] = deque()
        self._sent = 0
        self._news = asyncio.Event()
        self._draining = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        while not (self._draining and not self._alive and not self._kept):
            with suppress(OSError, ProtocolError, ValueError):
                await self._talk()
            await asyncio.sleep(AGAIN)

    async def _talk(self) -> None:
        connect = json.loads(self._path.read_text())
        host, _, port = connect["address"].rpartition(":")
        link = Link(*await asyncio.open_connection(host, int(port), ssl=self._site.context))
        work: list[asyncio.Task[None]] = []

        async def hear(message: dict[str, Any]) -> None:
            if message["type"] == "welcome":
                self._session = message["session"]
                self._acknowledge(message["acked"])
                self._sent = message["acked"]
                work.extend(asyncio.create_task(each) for each in (self._report(link), _beat(link, message)))
            else:
                await self._hear(link, message)

        try:
            await link.send(self._hello(connect))
            await link.run(hear)
        finally:
            link.close()
            for task in work:
                task.cancel()

    def _hello(self, connect: dict[str, Any]) -> dict[str, Any]:
        held = [{"uid": uid, "attempt": attempt, "ended": False} for uid, attempt in self._alive]
        return {
            "type": "hello",
            "protocols": [1],
            "nonce": connect["nonce"],
            "incarnation": self._incarnation,
            "token": connect["token"],
            "session": self._session,
            "host": f"n{self._job}",
            "job": self._job,
            "time": time.time(),
            "capacity": {"gpus": []},
            "runtimes": {"process": ""},
            "held": held,
        }

    async def _hear(self, link: Link, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "start":
            for order in message["pods"]:
                self._start(order)
        elif kind == "ack":
            self._acknowledge(message["seq"])
        elif kind == "stop" and (known := self._alive.get((message["uid"], message["attempt"]))):
            self._end(known, 143)
        elif kind == "drain":
            self._draining = True
        elif kind == "refused" and message["final"]:
            self._draining = True
            self._alive.clear()
            self._kept.clear()
            link.close()
        if self._draining and not self._alive and not self._kept:
            await link.send({"type": "bye"})
            link.close()

    def _start(self, order: dict[str, Any]) -> None:
        key = (order["uid"], order["attempt"])
        if key not in self._alive:
            self._alive[key] = order
            order["started"] = time.time()
            self._say(order, {"running": {"startedAt": _text(order["started"])}}, "Running")
            task = asyncio.create_task(self._live(order))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _live(self, order: dict[str, Any]) -> None:
        await self._site.go.wait()
        await asyncio.sleep(self._site.seconds)
        self._end(order, 0)

    def _end(self, order: dict[str, Any], code: int) -> None:
        if self._alive.pop((order["uid"], order["attempt"]), None) is not None:
            times = {"startedAt": _text(order["started"]), "finishedAt": _text(time.time())}
            reason, phase = ("Completed", "Succeeded") if code == 0 else ("Error", "Failed")
            ended = {"exitCode": code, "reason": reason, **times}
            self._say(order, {"terminated": ended}, phase, ended=True, logs={"c/0.log": 0})

    def _say(self, order: dict[str, Any], state: dict[str, Any], phase: str, **more: Any) -> None:
        self._seq += 1
        at = time.time()
        notes = [] if more else [{"at": at, "kind": "Normal", "reason": why, "message": why} for why in ("A", "B")]
        event = {"seq": self._seq, "uid": order["uid"], "attempt": order["attempt"], "at": at, "phase": phase}
        event |= {"started_at": order["started"], "host_ip": "127.0.0.1", "pod_ip": "127.0.0.1", "gpus": []}
        event |= {"containers": [_container(one, state) for one in order["containers"]], "notes": notes, **more}
        self._kept.append(event)
        self._news.set()

    def _acknowledge(self, seq: int) -> None:
        while self._kept and self._kept[0]["seq"] <= seq:
            self._kept.popleft()

    async def _report(self, link: Link) -> None:
        while True:
            events = [event for event in self._kept if event["seq"] > self._sent]
            if events:
                self._sent = events[-1]["seq"]
                await link.send({"type": "events", "events": events})
            self._news.clear()
            await self._news.wait()
            await asyncio.sleep(BATCH)


def _container(order: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    running = "running" in state
    return {
        "name": order["name"],
        "image": order["image"]["reference"],
        "imageID": "",
        "containerID": f"farnode://{order['name']}",
        "ready": running,
        "started": running,
        "restartCount": 0,
        "state": state,
        "lastState": {},
    }


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _beat(link: Link, welcome: dict[str, Any]) -> None:
    while True:
        await asyncio.sleep(welcome["heartbeat"])
        await link.send({"type": "ping", "time": time.time()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=0.02)
    options = parser.parse_args()
    write_tools(options.root, options.nodes, options.cores)
    asyncio.run(Site(options.root, options.seconds).run())


if __name__ == "__main__":
    main()
