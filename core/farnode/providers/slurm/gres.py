"""GPUs as a node lists them: `gpu:a100:2(S:0-7),gpu:1g.10gb:4,shard:a100:8`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from farnode.model.offer import GpuOffer
from farnode.providers.slurm.settings import SlurmSettings

GIB = 1 << 30
ENTRY = re.compile(r"(?:[^,(]|\([^)]*\)?)+")
GPU = re.compile(r"gpu(?::(?![0-9]+(?:\(|$))([^:()]+))?(?::([0-9]{1,6}))?(?:\(.*)?")
MIG = re.compile(r"(?:^|[_:-])(\d+g\.(\d{1,4})gb)(?:$|[^a-z0-9])")
SIZE = re.compile(r"(?:^|[_-])(\d{1,4})gb(?:$|[_-])")
# Types that exist with one size of memory only; of others (a100, v100, h100, gh200 …) nothing is claimed.
OF_SIZE = {
    16: "t4 a2",
    24: "l4 a10 a30 rtx_3090 rtx3090 rtx_4090 rtx4090",
    32: "mi100",
    48: "l40 l40s a40 a6000 rtx_a6000",
    64: "mi210",
    128: "mi300a",
    192: "mi300x",
}
MEMORY = {model: gib for gib, models in OF_SIZE.items() for model in models.split()}


def gpus(text: str, settings: SlurmSettings) -> tuple[GpuOffer, ...]:
    """One offer per type; what shares a device (shard, mps) is passed over, because a pod's GPU is a whole one."""
    counts: dict[str, int] = {}
    for model, count in _entries(text):
        counts[model] = counts.get(model, 0) + count
    return tuple(_offer(model, count, settings) for model, count in counts.items() if count)


def _entries(text: str) -> Iterator[tuple[str, int]]:
    for entry in ENTRY.findall(text):
        match = GPU.fullmatch(entry.strip())
        if match is not None:
            yield match[1] or "", int(match[2]) if match[2] else 1


def _offer(model: str, count: int, settings: SlurmSettings) -> GpuOffer:
    mig = MIG.search(model.lower())
    return GpuOffer(
        vendor=settings.gpus.get(model, "nvidia.com"),
        model=model,
        count=count,
        memory=settings.gpu_memory.get(model) or _memory(model.lower()),
        mig=mig[1] if mig else None,
    )


def _memory(model: str) -> int | None:
    if mig := MIG.search(model):
        return int(mig[2]) * GIB
    if size := SIZE.search(model):
        return int(size[1]) * GIB
    return MEMORY[model] * GIB if model in MEMORY else None
