"""What the embedded site pretends to have; this machine's own cores and memory unless told otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from farnode.errors import Invalid
from farnode.model.offer import GpuOffer, Offer
from farnode.providers.settings import Keys


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """`queue_delay`: seconds an allocation stays queued at least, to show what a queue does to pods. `standing`: one
    allocation of the whole machine is kept for all pods, because nobody waits here and nobody else needs the rest."""

    cores: int
    memory: int
    gpu: GpuOffer | None = None
    queue_delay: float = 0.0
    standing: bool = True

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> Self:
        keys = Keys(settings)
        read = cls(
            cores=keys.whole("cores", len(os.sched_getaffinity(0))),
            memory=keys.size("memory", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
            gpu=_gpu(keys.mapping("gpus")),
            queue_delay=keys.seconds("queueDelay", 0.0),
            standing=keys.flag("standing", True),
        )
        keys.end()
        return read

    def offer(self) -> Offer:
        gpus = (self.gpu,) if self.gpu else ()
        return Offer("local", self.cores, self.memory, default=True, gpus=gpus, standing=self.standing)


def _gpu(settings: Mapping[str, Any]) -> GpuOffer | None:
    if not settings:
        return None
    keys = Keys(settings, "gpus")
    model, count = keys.text("model"), keys.whole("count", 1)
    vendor = keys.text("vendor", "nvidia.com") or ""
    memory = keys.size("memory", 0)
    keys.end()
    if model is None:
        raise Invalid("gpus.model", "is missing: name the type, such as a100")
    return GpuOffer(vendor, model, count, memory or None)
