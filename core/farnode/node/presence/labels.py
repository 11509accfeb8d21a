"""The labels of a node: what selectors and affinities say already, and ours.

A node that stands for one partition, or one type of GPU, has it as the value of a label; each one of several is a label
of its own, so that a selector can name any of them: `farnode.io/partition.gpu: "true"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from farnode.node.presence.resources import Offer
from farnode.node.presence.settings import NodeSettings

SITE = "farnode.io/site"
PARTITION = "farnode.io/partition"
GPU_MODEL = "farnode.io/gpu-model"
GPU_MEMORY = "farnode.io/gpu-memory"
"""MiB of one device, a number, for affinities with Gt and Lt."""
ARCHITECTURE = "kubernetes.io/arch"
_PRODUCT = {
    "nvidia.com": "nvidia.com/gpu.product",
    "amd.com": "amd.com/gpu.product-name",
    "gpu.intel.com": "gpu.intel.com/product",
}
"""As the vendors' own feature discovery names it."""
_WORDS = {"GEFORCE": "GeForce", "TESLA": "Tesla", "QUADRO": "Quadro", "TI": "Ti"}
"""That NVIDIA's management library, whose product names GPU feature discovery takes, does not write in capitals."""
_MIB = 1024**2


def static(settings: NodeSettings) -> dict[str, str]:
    """Those that need no word of the site."""
    zone = {"topology.kubernetes.io/zone": settings.zone} if settings.zone else {}
    return {
        "type": "virtual-kubelet",
        "kubernetes.io/os": "linux",
        ARCHITECTURE: "amd64",
        "kubernetes.io/hostname": value(settings.name),
        "node.kubernetes.io/exclude-from-external-load-balancers": "true",  # nothing here forwards a Service's port
        **zone,
        **settings.labels,
    }


def of_site(site: str, offers: Iterable[Offer], settings: NodeSettings) -> dict[str, str]:
    """All of them. Only settings.labels go before what the site says."""
    offers = list(offers)
    gpus = [gpu for offer in offers for gpu in offer.get("gpus") or ()]
    found = {SITE: value(site)}
    found |= _each(PARTITION, {offer["partition"] for offer in offers if offer.get("partition")})
    found |= _each(GPU_MODEL, {gpu["model"] for gpu in gpus if gpu.get("model")})
    found |= dict(_of_gpus(gpus))
    return static(settings) | found | dict(settings.labels)


def value(text: str) -> str:
    """What a label may have as its value, as near to the text as the rules allow."""
    return re.sub(r"[^-A-Za-z0-9_.]+", "-", text)[:63].strip("-_.")


def product(vendor: str, model: str) -> str:
    """`NVIDIA-A100-SXM4-80GB` of `nvidia_a100-sxm4-80gb`, which is what Slurm makes of the former."""
    if vendor != "nvidia.com":
        return value(model)
    words = re.split(r"[^A-Z0-9.]+", model.upper())
    return value("-".join(_WORDS.get(word, word) for word in words if word))


def _each(key: str, names: set[str]) -> dict[str, str]:
    valid = {name for name in map(value, names) if name}
    prefix, _, own = key.partition("/")
    found = {f"{prefix}/{value(f'{own}.{name}')}": "true" for name in valid}
    return found | ({key: valid.pop()} if len(valid) == 1 else {})


def _of_gpus(gpus: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Where all are of one type."""
    types = {(gpu["vendor"], gpu.get("model") or "", gpu.get("memory")) for gpu in gpus}
    if len(types) != 1:
        return
    ((vendor, model, memory),) = types
    if model and vendor in _PRODUCT:
        yield _PRODUCT[vendor], product(vendor, model)
    if memory:
        yield GPU_MEMORY, str(memory // _MIB)
    if memory and vendor == "nvidia.com":
        yield "nvidia.com/gpu.memory", str(memory // _MIB)
