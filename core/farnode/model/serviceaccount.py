"""The service account's token that an API server mounts into every pod: dropped where nobody brings it.

Kubernetes' ServiceAccount admission adds a projected volume `kube-api-access-…` and a mount of it to pods that never
asked for one. A cluster's node brings the token with the pod, and then it is mounted. Who hands such a pod over without
one has taken it from a cluster: refusing it would refuse them all. A token that a user asks for in a volume of another
name must be there.
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
