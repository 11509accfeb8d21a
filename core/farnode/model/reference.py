"""Which ConfigMaps and Secrets a pod refers to, and from where.

The API server does not check these; the kubelet waits until they exist. At a site nothing can appear later, so a
bundle must have them all, except the optional ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from farnode.model.container import Container
from farnode.model.env import KeySource, ObjectKind
from farnode.model.pod import Pod, containers_with_paths
from farnode.model.volume import ObjectFiles


@dataclass(frozen=True, slots=True)
class Reference:
    """`keys` are those needed; none: all there are. `env`: the values become environment variables."""

    path: str
    kind: ObjectKind
    name: str
    optional: bool
    keys: tuple[str, ...] = ()
    env: bool = False


def references(pod: Pod) -> Iterator[Reference]:
    for path, container in containers_with_paths(pod):
        yield from _of_container(path, container)
    for index, volume in enumerate(pod.volumes):
        source = volume.source
        if isinstance(source, ObjectFiles):
            keys = tuple(item.key for item in source.items)
            field = "configMap" if source.kind == "ConfigMap" else "secret"
            yield Reference(f"spec.volumes[{index}].{field}", source.kind, source.name, source.optional, keys)
    for index, name in enumerate(pod.image_pull_secrets):
        yield Reference(f"spec.imagePullSecrets[{index}]", "Secret", name, optional=True)


def _of_container(path: str, container: Container) -> Iterator[Reference]:
    for index, whole in enumerate(container.env_from):
        yield Reference(f"{path}.envFrom[{index}]", whole.kind, whole.name, whole.optional, env=True)
    for index, variable in enumerate(container.env):
        source = variable.source
        if isinstance(source, KeySource):
            place = f"{path}.env[{index}].valueFrom"
            yield Reference(place, source.kind, source.name, source.optional, (source.key,), env=True)
