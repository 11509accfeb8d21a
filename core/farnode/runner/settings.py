"""What the runner is told by its environment, read once, and what the node has."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..wire.messages import Capacity
from .limits import gpu

KILL_WAIT = 25.0
"""Seconds between SIGTERM and SIGKILL; Slurm's KillWait is 30 where a site has not changed it."""


@dataclass(frozen=True)
class Settings:
    allocation: Path
    """The allocation's directory on the spool (FARNODE_ALLOCATION)."""
    kill_wait: float
    """Seconds that are left after a SIGTERM (FARNODE_KILL_WAIT)."""
    lifeline: int | None
    """Descriptor whose end of file means that the supervisor is dead (FARNODE_LIFELINE)."""
    ends_at: float | None
    job: str
    """The batch system's id of the allocation (of an array's element `<array>_<index>`), "" where it has none."""
    capacity: Capacity

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Raises ValueError in words."""
        if not environment.get("FARNODE_ALLOCATION"):
            raise ValueError("FARNODE_ALLOCATION is not set: it names the allocation's directory")
        lifeline = environment.get("FARNODE_LIFELINE", "")
        return cls(
            allocation=Path(environment["FARNODE_ALLOCATION"]).absolute(),
            kill_wait=_number(environment, "FARNODE_KILL_WAIT") or KILL_WAIT,
            lifeline=int(lifeline) if lifeline else None,
            ends_at=_number(environment, "SLURM_JOB_END_TIME"),
            job=_job(environment),
            capacity={
                "cores": _cores(environment),
                "memory": _memory(environment),
                "gpus": gpu.devices(environment),
            },
        )


def address_towards(host: str, port: int) -> str:
    """The address of this node that `host` is reached from; nothing is sent."""
    try:
        family, kind, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(where)
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def _job(environment: Mapping[str, str]) -> str:
    array, index = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else environment.get("SLURM_JOB_ID", "")


def _cores(environment: Mapping[str, str]) -> float:
    given = _number(environment, "FARNODE_CORES") or _number(environment, "SLURM_CPUS_ON_NODE")
    return given or float(len(os.sched_getaffinity(0)))


def _memory(environment: Mapping[str, str]) -> int:
    """Slurm counts in MiB, by node or by core; 0 means all of the node's."""
    mebibytes = _number(environment, "SLURM_MEM_PER_NODE")
    by_core = _number(environment, "SLURM_MEM_PER_CPU")
    if not mebibytes and by_core:
        mebibytes = by_core * _cores(environment)
    given = _number(environment, "FARNODE_MEMORY") or (mebibytes or 0) * 2**20
    return int(given) or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _number(environment: Mapping[str, str], name: str) -> float | None:
    text = environment.get(name, "")
    try:
        return float(text) if text else None
    except ValueError:
        raise ValueError(f"{name}={text!r} is not a number") from None
