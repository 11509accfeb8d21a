"""Where systems are compared: one real Slurm in a box, and what each of them needs to play there.

Every system gets the same: four nodes of 16 cores, as Slurm sees them, its client on the login node, the ordinary user
alice. So 64 tasks may run at once in each.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.usage import cpu_seconds, machine_seconds, per_task
from tests.faults.wrapped import Wrapped
from tests.sites import wait_until
from tests.sites.site import ADMIN
from tests.testbed import SiteSpec, SlurmSite, build, free_index, install
from tests.testbed.machine import USER_PATH

NODES = 4
CORES = 16
"""Of each node, as Slurm is told."""
GPUS = 16
"""Pretended ones, of all nodes."""
PEERS = ("hyperqueue==0.27.0", "parsl==2026.10.26")
HOME = "/home/alice"
SCRIPTS = Path(__file__).with_name("contestants")


@contextmanager
def ground() -> Iterator[SlurmSite]:
    """The box, with the contestants' scripts and the peers' packages in alice's home."""
    with SlurmSite(SiteSpec(nodes=NODES, index=free_index(), alike=True)) as box:
        shutil.copytree(SCRIPTS, box.home("alice") / "contestants", ignore=shutil.ignore_patterns("__pycache__"))
        yield box


def add_peers(box: SlurmSite) -> None:
    """Fetched once and kept; linked into the box, where nobody writes to them."""
    ready = install.libraries(build.root_file_system(), PEERS)
    subprocess.run(["cp", "-al", str(ready), str(box.home("alice") / "peers")], check=True)


class Farnode(Wrapped):
    """The site with a gateway whose Slurm commands are written down; its pilots as they are without a word of ours."""

    def __init__(self, box: SlurmSite) -> None:
        super().__init__(box, _settings())

    def pilots(self) -> int:
        """Allocations that wait or run."""
        with self.client(ADMIN) as client:
            return len(client.site()["allocations"])

    def clear(self) -> None:
        """Gives all allocations back; the gateway goes on."""
        with self.client(ADMIN) as client:
            client.stop()
            wait_until(lambda: not client.site()["allocations"], "all allocations end", self.patience)
            client.drain(False)
        self.box.wait_idle()


def _settings() -> dict[str, Any]:
    return {
        "provider": {"kind": "slurm"},
        "runtimes": ["process"],
        "pollInterval": "15s",
        "quotas": {"podsPerOwner": 100_000},
    }


class Contestant:
    """A script of `contestants/` on the login node, which plays rounds on demand; a context manager."""

    def __init__(self, box: SlurmSite, script: str, *arguments: object, libraries: Sequence[str] = ()) -> None:
        self._box = box
        path = f"{HOME}/peers/bin:{USER_PATH}"
        environ = {
            "PATH": path,
            "PYTHONPATH": ":".join([f"{HOME}/contestants", *libraries]),
            "FARNODE_CONFIG": f"{HOME}/fn/config.yaml",
        }
        argv = ["python3", f"{HOME}/contestants/{script}.py", *map(str, arguments)]
        self._log = box.directory / f"{script}.log"
        with self._log.open("w") as log:
            self._process = box.popen("alice", argv, env=environ, stdin=subprocess.PIPE, stderr=log.fileno())

    def round(self, **asked: Any) -> dict[str, Any]:
        """Its answer, `seconds` included; `cpu_ms` per task by role; `others`, the share of this machine's time that
        went to what has nothing to do with the box."""
        tasks = asked.get("pods") or asked["tasks"]
        before, machine_before = cpu_seconds(self._box), machine_seconds()
        answer = self._ask(asked)
        after, machine = cpu_seconds(self._box), machine_seconds()
        used, there_was = (now - then for now, then in zip(machine, machine_before, strict=True))
        others = max(0.0, used - (after.total() - before.total())) / there_was
        cpu = per_task(before, after, tasks)
        return {**answer, "per_s": tasks / answer["seconds"], "cpu_ms": cpu, "others": round(others, 2)}

    def tidy(self) -> None:
        """What earlier rounds left is no burden to the next."""
        self._ask({"tidy": True})

    def _ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the contestant ended: {self._log.read_text()[-4000:]}"
        found: dict[str, Any] = json.loads(line)
        return found

    def __enter__(self) -> Self:
        self._answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            if error is not None:
                self._process.kill()


@contextmanager
def peer(box: SlurmSite, script: str, *arguments: object) -> Iterator[Contestant]:
    """One of the others; when it is left none of its jobs is in the next one's way."""
    try:
        with Contestant(box, script, *arguments, libraries=[f"{HOME}/peers"]) as contestant:
            yield contestant
    finally:
        box.run("root", ["scancel", "--user=alice"])
        box.wait_idle()


def hyperqueue(box: SlurmSite) -> AbstractContextManager[Contestant]:
    return peer(box, "hyperqueue_tasks", NODES, CORES)


def parsl(box: SlurmSite) -> AbstractContextManager[Contestant]:
    return peer(box, "parsl_apps", NODES, CORES, box.network.edge, f"{HOME}/peers")


def slurm_array(box: SlurmSite) -> AbstractContextManager[Contestant]:
    return peer(box, "slurm_array")


def pods(box: SlurmSite, script: str = "farnode_pods") -> Contestant:
    """A client of the site's gateway."""
    libraries = [f"{install.PREFIX}/{part}" for part in (*install.Project.read().roots, "meta", "lib")]
    return Contestant(box, script, libraries=libraries)


def progress(what: str, found: Mapping[str, Any]) -> None:
    """For who watches; stdout has the one JSON line only."""
    print(what, json.dumps(found), file=sys.stderr, flush=True)
