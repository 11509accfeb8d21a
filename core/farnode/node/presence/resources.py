"""What a node has: the sum of what the site offers this account, as Kubernetes names and counts it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from farnode.model.gpu import TABLE
from farnode.model.quantity import NANO, Form, Quantity
from farnode.node.presence.settings import NodeSettings

STORAGE = 100 * 1024**3
"""Bytes of ephemeral storage for each node of an offer. Sites do not say how much there is; without any amount, pods
that ask for some would be scheduled nowhere, and each is held to its own limit where it runs."""
_INTEL = ("gpu.intel.com/i915", "gpu.intel.com/xe")
"""The resource is named for the kernel's driver, which a site does not say; a pod asks for either."""

Offer = Mapping[str, Any]
"""As in SiteView: the fields of model.offer.Offer."""


def shown(offers: Iterable[Offer], settings: NodeSettings) -> list[Offer]:
    """Those that this node stands for."""
    names = set(settings.offers)
    return [offer for offer in offers if not names or {offer["name"], offer.get("partition")} & names]


def capacity(offers: Iterable[Offer], settings: NodeSettings) -> dict[str, str]:
    """All of them; a node of an offer counts as often as jobs may be queued at once, where that is less."""
    sums: Counter[str] = Counter()
    for offer in offers:
        limit = offer.get("max_submit")
        nodes = offer["nodes"] if limit is None else min(offer["nodes"], limit)
        for name, amount in _of_one(offer):
            sums[name] += amount * nodes
    found = {name: _quantity(name, int(amount * settings.queue_depth)) for name, amount in sums.items()}
    return {"cpu": "0", "memory": "0"} | found | {"pods": _quantity("pods", settings.pods)}


def allocatable(offers: Iterable[Offer], settings: NodeSettings) -> dict[str, str]:
    """The capacity without offers where nothing starts now."""
    return capacity([offer for offer in offers if not offer.get("problem")], settings)


def gpu_resources(vendor: str, mig: str | None) -> tuple[str, ...]:
    if mig is not None:
        return (f"{vendor}/mig-{mig}",)
    if vendor == "gpu.intel.com":
        return _INTEL
    return tuple(f"{row.vendor}/{row.pattern}" for row in TABLE if (row.vendor, row.pattern) == (vendor, "gpu"))


def _of_one(offer: Offer) -> Iterator[tuple[str, int]]:
    """Of one node: thousandths of a core, bytes, devices."""
    yield "cpu", offer["cores"] * 1000
    yield "memory", offer["memory"]
    yield "ephemeral-storage", STORAGE
    for gpu in offer.get("gpus") or ():
        for name in gpu_resources(gpu["vendor"], gpu.get("mig")):
            yield name, gpu["count"]


def _quantity(name: str, amount: int) -> str:
    if name == "cpu":
        return str(Quantity(amount * NANO // 1000))
    if name in ("memory", "ephemeral-storage"):
        return str(Quantity(amount // 1024 * 1024 * NANO, Form.BINARY))
    return str(Quantity(amount * NANO))
