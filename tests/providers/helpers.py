"""What several tests of drivers need: a clock that stands still, and commands that say what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from farnode.model.allocation import AllocationRequest
from farnode.providers.port import Site
from farnode.providers.slurm import SlurmProvider
from farnode.providers.slurm.settings import SlurmSettings

CONFIG = (
    "Configuration data as of 2026-11-22\nAccountingStorageType   = accounting_storage/slurmdbd\nClusterName = h7\n"
)
NO_ACCOUNTING = "AccountingStorageType   = (null)\nClusterName = h7\n"
PARTITION = "PartitionName=main AllowAccounts=ALL AllowQos=ALL Default=YES QoS=N/A MaxTime=UNLIMITED State=UP\n"
NODE = "NodeName=n1 CPUTot=16 Gres=gpu:a100:4 RealMemory=16000 State=IDLE Partitions=main \n"


@dataclass
class Clock:
    now: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeTools:
    """Shell scripts in place of Slurm's commands. Each notes its arguments, then does what the test wants of it."""

    root: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.root.mkdir()
        self.script = self.root / "job.sh"
        self.script.write_text("#!/bin/sh\n")
        self.tool("sbatch", 'echo "$((100 + $(wc -l <"$CALLS")))"')
        self.tool("squeue", ":")
        self.tool("scancel", ":")
        self.tool("sacct", ":")
        self.tool("sacctmgr", "case $* in *qos*format=name*) echo 'normal||';; *) echo 'p1|p1||||normal|normal';; esac")
        self.scontrol()

    def tool(self, name: str, body: str) -> None:
        note = """line=$(printf '%s\\037' "${0##*/}" "$@"); printf '%s\\n' "$line" >>"$CALLS" """
        path = self.root / name
        path.write_text(f"#!/bin/sh\nCALLS={self.root}/calls\n{note}\n{body}\n")
        path.chmod(0o755)

    def scontrol(self, config: str = CONFIG, partitions: str = PARTITION, nodes: str = NODE) -> None:
        for name, text in {"config": config, "partition": partitions, "node": nodes}.items():
            (self.root / f"show.{name}").write_text(text)
        self.tool("scontrol", f'for last; do :; done; cat {self.root}/show."$last"')

    def says(self, name: str, out: str = "", err: str = "", code: int = 0) -> None:
        (self.root / f"{name}.out").write_text(out)
        (self.root / f"{name}.err").write_text(err)
        self.tool(name, f"cat {self.root}/{name}.out; cat {self.root}/{name}.err >&2; exit {code}")

    def calls(self, name: str) -> list[list[str]]:
        """The arguments of every call of a tool."""
        lines = (self.root / "calls").read_text().split("\n") if (self.root / "calls").exists() else []
        return [call[1:-1] for call in (line.split("\x1f") for line in lines) if call[0] == name]

    def provider(self, **settings: object) -> SlurmProvider:
        read = SlurmSettings.read({"path": str(self.root), "callsPerMinute": 3000, **settings})
        return SlurmProvider(read, Site("fake", self.script, self.root), clock=self.clock)


def alive(pid: int) -> bool:
    """Zombies are not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


async def until(holds: Callable[[], object]) -> None:
    """Wait for another process; there is no event of it to wait for."""
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.005)


def request(nonce: str = "n0", **values: object) -> AllocationRequest:
    defaults: dict[str, object] = {"cores": 1, "memory": 0, "directory": "/spool/n0"}
    return AllocationRequest(nonce, **{**defaults, **values})  # type: ignore[arg-type]
