"""The GPUs the batch system gave this allocation, and what a container may see of them.

Device names are passed on verbatim (indices, UUIDs, MIG instances): what they count from (the node, or what the batch
system's cgroup shows) is the batch system's affair. A batch system may set several variables with the same list,
because it does not know what will be run; then all of them carry the container's part.

Containers without GPUs get the lists empty, which hides all devices from CUDA and ROCm, and from nvidia's container
tools by their word for it. Level Zero has no word for "none", and an empty list means all; but it skips devices that a
node does not have (intel/compute-runtime, `parseAffinityMask`), so there they get one of those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

LISTS = (
    "CUDA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "ZE_AFFINITY_MASK",
)
NONE = {
    "CUDA_VISIBLE_DEVICES": "",
    "ROCR_VISIBLE_DEVICES": "",
    "NVIDIA_VISIBLE_DEVICES": "void",
    "ZE_AFFINITY_MASK": "9999",
}
NOTHING = {"", "-1", "none", "void", "NoDevFiles"}
PRETENDED = "FARNODE_GPUS"
"""A count: of pretended GPUs, for a site without a batch system."""


def devices(environ: Mapping[str, str]) -> list[str]:
    """The devices of this node of the allocation."""
    for name in LISTS:
        text = environ.get(name, "")
        if text not in NOTHING:
            return text.split(",")
    count = environ.get(PRETENDED, "")
    return [str(number) for number in range(int(count))] if count.isdigit() else []


def visible(environ: Mapping[str, str], given: Sequence[str]) -> dict[str, str]:
    """The variables that show a container `given` and hide the rest; `environ` is the batch system's."""
    if not given:
        return NONE
    text = ",".join(given)
    shown = {name: text for name in LISTS if environ.get(name, "") not in NOTHING} or {LISTS[0]: text}
    return {**shown, "NVIDIA_VISIBLE_DEVICES": text} if LISTS[0] in shown else shown
