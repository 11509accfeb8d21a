"""What a site tells of its Slurm. There is no free text for sbatch on purpose: all options are known and checked."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from farnode.errors import Invalid
from farnode.providers.settings import Keys, size

TOOLS = ("sbatch", "scancel", "scontrol", "squeue")
"""What no site lacks; sacct and sacctmgr only matter where accounting is on."""
TIMEOUT = 30.0
CALLS_PER_MINUTE = 4
BURST = 40


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """`partitions`: those offered, all when empty. `account`, `qos`: named where a request names none. `gpus`: vendor
    (resource prefix) by GPU type, NVIDIA's when not listed. `gpu_memory`: bytes by GPU type. `timeout`: seconds for one
    command; Slurm's own is 10 s for a controller that hangs. `burst`, `calls_per_minute`: what the site's controller is
    spared; the defaults are the limits of the strictest site known. `tools`: the directory of Slurm's commands."""

    partitions: tuple[str, ...] = ()
    account: str | None = None
    qos: str | None = None
    gpus: Mapping[str, str] = field(default_factory=dict)
    gpu_memory: Mapping[str, int] = field(default_factory=dict)
    timeout: float = TIMEOUT
    calls_per_minute: int = CALLS_PER_MINUTE
    burst: int = BURST
    tools: Path | None = None

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> Self:
        keys = Keys(settings)
        vendors = keys.mapping("gpus")
        for model, vendor in vendors.items():
            if not isinstance(vendor, str) or "." not in vendor:
                raise Invalid(f"gpus.{model}", f"{vendor!r} is no resource prefix such as nvidia.com or amd.com")
        read = cls(
            partitions=keys.texts("partitions"),
            account=keys.text("account"),
            qos=keys.text("qos"),
            gpus=vendors,
            gpu_memory={model: size(text, f"gpuMemory.{model}") for model, text in keys.mapping("gpuMemory").items()},
            timeout=keys.seconds("commandTimeout", TIMEOUT),
            calls_per_minute=keys.whole("callsPerMinute", CALLS_PER_MINUTE),
            burst=keys.whole("burst", BURST),
            tools=Path(path) if (path := keys.text("path")) else None,
        )
        keys.end()
        return read


def check_tools(tools: Path | None) -> None:
    """Refuse, while somebody reads the message, a site whose commands are not there."""
    missing = [tool for tool in TOOLS if shutil.which(tool, path=str(tools) if tools else None) is None]
    if missing:
        where = str(tools) if tools else "PATH"
        raise Invalid("path", f"there is no {', '.join(missing)} in {where}: name the directory of Slurm's commands")
