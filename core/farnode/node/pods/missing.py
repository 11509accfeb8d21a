"""What a pod refers to and cannot have yet, in the kubelet's words.

The API server does not check references. The kubelet waits until they can be met: a pod's volumes are first, so that
its containers stay ContainerCreating; one whose variables cannot be made waits for CreateContainerConfigError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farnode.errors import FarnodeError
from farnode.node.pods.references import CONFIG_MAPS, SECRETS, Use

Json = dict[str, Any]

_KINDS = {CONFIG_MAPS: "ConfigMap", SECRETS: "Secret"}


class Missing(FarnodeError):
    """`reason` and `message` are those of the kubelet's Event, `waiting` is the reason for which containers wait."""

    def __init__(self, message: str, volume: str = "") -> None:
        self.reason = "FailedMount" if volume else "Failed"
        self.waiting = "ContainerCreating" if volume else "CreateContainerConfigError"
        self.message = f'MountVolume.SetUp failed for volume "{volume}" : {message}' if volume else f"Error: {message}"
        super().__init__(self.message)


def check(use: Use, found: Mapping[str, Any] | None, namespace: str) -> None:
    """Missing unless the object, as `bundle.lean` leaves it, is there with what is needed of it."""
    if use.optional:
        return
    if found is None:
        raise Missing(f'{use.resource.removesuffix("s")} "{use.name}" not found', use.volume)
    keys = {key for part in ("data", "binaryData") for key in found.get(part) or ()}
    for key in use.keys:
        if key not in keys:
            raise Missing(_no_key(use, key, namespace), use.volume)


def _no_key(use: Use, key: str, namespace: str) -> str:
    if not use.volume:
        return f"couldn't find key {key} in {_KINDS[use.resource]} {namespace}/{use.name}"
    if use.resource == SECRETS:
        return f"references non-existent secret key: {key}"
    return f"configmap references non-existent config key: {key}"
