"""CPU time of everything in the machines of a site in a box, by the role of each process.

A process's ended children count as the parent's, and the init of a machine gathers what nobody else waited for: so
nothing is lost, but what a batch job used after its script ended is then told as Slurm's.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.testbed import SlurmSite

TICKS = os.sysconf("SC_CLK_TCK")
USERS = range(1000, 2000)
SLURM = "slurm"
"""The role of all that root and Slurm's own account run."""


def cpu_seconds(box: SlurmSite) -> Counter[str]:
    """User and system time so far by role: `slurm`, `gateway`, `supervisor`, `runner`, `pods`, `client`."""
    total: Counter[str] = Counter()
    for machine in (None, *range(1, box.spec.nodes + 1)):
        pid = box.machine(machine).pid()
        for entry in Path(f"/proc/{pid}/root/proc").glob("[0-9]*"):
            with suppress(OSError):
                total.update(_of_process(entry))
    return total


def machine_seconds() -> tuple[float, float]:
    """CPU time used so far by everything on this machine, and the time there was to use."""
    user, nice, system, idle, waiting, *rest = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    used = user + nice + system + sum(rest)
    return used / TICKS, (used + idle + waiting) / TICKS


def per_task(before: Mapping[str, float], after: Mapping[str, float], tasks: int) -> dict[str, float]:
    """Milliseconds of each role, and `all` of them but Slurm's."""
    roles = {role: round((after[role] - before.get(role, 0.0)) * 1000 / tasks, 3) for role in sorted(after)}
    return {**roles, "all": round(sum(ms for role, ms in roles.items() if role != SLURM), 3)}


def _of_process(entry: Path) -> dict[str, float]:
    fields = (entry / "stat").read_text().rsplit(") ", 1)[1].split()
    own, children = (sum(map(int, fields[first : first + 2])) / TICKS for first in (11, 13))
    uid = int((entry / "status").read_text().partition("\nUid:\t")[2].split()[0])
    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    if uid not in USERS:
        return {SLURM: own + children}
    role = _role(words)
    return {"runner": own, "pods": children} if role == "runner" else {role: own + children}


def _role(words: Sequence[str]) -> str:
    if words[-2:] and any(word.endswith("runner.pyz") for word in words):
        return "runner" if words[-1] == "run" else "supervisor"
    if "gateway" in words:
        return "gateway"
    return "supervisor" if any("/slurmd/" in word for word in words) else "client"
