"""The service account's token that an API server mounts into every pod: dropped for now.

Kubernetes' ServiceAccount admission adds a projected volume `kube-api-access-…` and a mount of it to pods that never
asked for one. Such a token is of no use at a site without a way to the API server, and refusing it would refuse every
pod of a real cluster. A token that a user asks for in a volume of another name is given.
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "kube-api-access-"
_CONTAINERS = ("initContainers", "containers")


def without_service_account(spec: object) -> object:
    """The spec of a pod without the automatic token; anything that is not a pod's spec is returned as it is."""
    if not isinstance(spec, Mapping) or not isinstance(volumes := spec.get("volumes"), list):
        return spec
    dropped = [volume["name"] for volume in volumes if _automatic(volume)]
    if not dropped:
        return spec
    kept = {"volumes": [volume for volume in volumes if not _automatic(volume)]}
    containers = {key: _without_mounts(spec[key], dropped) for key in _CONTAINERS if key in spec}
    return {**spec, **kept, **containers}


def _automatic(volume: object) -> bool:
    return (
        isinstance(volume, Mapping)
        and isinstance(projected := volume.get("projected"), Mapping)
        and isinstance(sources := projected.get("sources"), list)
        and any(isinstance(source, Mapping) and "serviceAccountToken" in source for source in sources)
        and isinstance(name := volume.get("name"), str)
        and name.startswith(PREFIX)
    )


def _without_mounts(containers: object, dropped: list[str]) -> object:
    if not isinstance(containers, list):
        return containers
    return [_without_mount(container, dropped) for container in containers]


def _without_mount(container: object, dropped: list[str]) -> object:
    if not isinstance(container, Mapping) or not isinstance(mounts := container.get("volumeMounts"), list):
        return container
    kept = [mount for mount in mounts if not (isinstance(mount, Mapping) and mount.get("name") in dropped)]
    return {**container, "volumeMounts": kept}
