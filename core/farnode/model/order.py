"""A bundle and its images -> the order a runner carries out: everything resolved that can be known before it starts.

What only the compute node knows (its address) is left to the runner as a field to fill in.
Source of the rules: the kubelet's making of environment variables and of volumes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from farnode.model.bundle import Bundle, Input
from farnode.model.container import Container
from farnode.model.demand import Demand
from farnode.model.env import EnvVar, FieldSource, KeySource, ResourceSource
from farnode.model.gpu import demand, gpus_of
from farnode.model.image import Image
from farnode.model.pod import Pod
from farnode.model.resources import CPU, MEMORY
from farnode.model.volume import EmptyDir, FieldFiles, Mount, ObjectFiles, Volume
from farnode.wire.messages import (
    ContainerOrder,
    EnvOrder,
    FileOrder,
    ImageOrder,
    MountOrder,
    PodOrder,
    VolumeOrder,
)

_RUNNER_FIELDS = {
    "status.hostIP": "status.hostIP",
    "status.hostIPs": "status.hostIP",
    "status.podIP": "status.podIP",
    "status.podIPs": "status.podIP",
}
"""Known on the compute node only. A pod has one address of each kind, so the plural is the singular."""


@dataclass(frozen=True, slots=True)
class _Context:
    bundle: Bundle
    demand: Demand
    images: Mapping[str, Image]
    node_name: str

    @property
    def pod(self) -> Pod:
        return self.bundle.pod


def order(
    bundle: Bundle,
    *,
    owner: str,
    attempt: int,
    images: Mapping[str, Image],
    node_name: str,
    runtime: str,
    restarts: Mapping[str, int],
) -> PodOrder:
    """The order of one attempt. `images` by the reference of the containers; `restarts` are restart counts of earlier
    attempts by container name."""
    pod, needs = bundle.pod, demand(bundle.pod)
    context = _Context(bundle, needs, images, node_name)
    return PodOrder(
        uid=pod.uid,
        attempt=attempt,
        namespace=pod.namespace,
        name=pod.name,
        owner=owner,
        hostname=pod.hostname,
        node_name=node_name,
        runtime=runtime,
        restart_policy=pod.restart_policy,
        grace=float(pod.grace),
        deadline=None if pod.deadline is None else float(pod.deadline),
        cores=needs.millicores / 1000,
        memory=needs.memory,
        gpus=needs.gpu.count if needs.gpu else 0,
        init_containers=[_container(container, context) for container in pod.init_containers],
        containers=[_container(container, context) for container in pod.containers],
        volumes=[_volume(volume, context.bundle) for volume in pod.volumes],
        restarts=dict(restarts),
        mpi=pod.settings.mpi,
    )


def _container(container: Container, context: _Context) -> ContainerOrder:
    made = ContainerOrder(
        name=container.name,
        image=_image(context.images[container.image]),
        env=[*_env_from(container, context.bundle), *_env(container, context)],
        working_dir=container.working_dir,
        mounts=[_mount(mount, context.bundle.pod) for mount in container.mounts],
        gpus=gpus_of(container),
        tty=container.tty,
        stdin=container.stdin,
        termination_message_path=container.termination_message_path,
        termination_message_policy=container.termination_message_policy,
    )
    if container.command is not None:
        made["command"] = list(container.command)
    if container.args is not None:
        made["args"] = list(container.args)
    return made


def _image(image: Image) -> ImageOrder:
    made = ImageOrder(
        reference=image.reference,
        digest=image.digest,
        entrypoint=list(image.entrypoint),
        cmd=list(image.cmd),
        env=list(image.env),
        working_dir=image.working_dir,
    )
    if image.path:
        made["path"] = image.path
    return made


def _mount(mount: Mount, pod: Pod) -> MountOrder:
    """Only an emptyDir can be written to: ConfigMaps, Secrets and the downward API are always mounted read-only."""
    writable = any(one.name == mount.volume and isinstance(one.source, EmptyDir) for one in pod.volumes)
    return MountOrder(
        volume=mount.volume, path=mount.path, read_only=mount.read_only or not writable, sub_path=mount.sub_path
    )


def _env_from(container: Container, bundle: Bundle) -> Iterator[EnvOrder]:
    """Sorted by key, so that the same bundle always makes the same order."""
    for whole in container.env_from:
        found = bundle.input(whole.kind, whole.name) or Input({})
        for key in sorted(found.data):
            yield EnvOrder(name=whole.prefix + key, value=found.data[key].decode(), literal=True)


def _env(container: Container, context: _Context) -> Iterator[EnvOrder]:
    """A variable whose optional source does not exist is not set at all."""
    for variable in container.env:
        source = variable.source
        if isinstance(source, FieldSource) and source.path in _RUNNER_FIELDS:
            yield EnvOrder(name=variable.name, field=_RUNNER_FIELDS[source.path], literal=True)
        elif source is None:
            yield EnvOrder(name=variable.name, value=variable.value)
        elif (value := _value(variable, container, context)) is not None:
            yield EnvOrder(name=variable.name, value=value, literal=True)


def _value(variable: EnvVar, container: Container, context: _Context) -> str | None:
    source = variable.source
    if isinstance(source, KeySource):
        found = context.bundle.input(source.kind, source.name)
        return found.data[source.key].decode() if found and source.key in found.data else None
    if isinstance(source, ResourceSource):
        return str(_amount(source, container, context))
    assert source is not None
    return context.node_name if source.path == "spec.nodeName" else field_text(context.pod, source)


def _amount(source: ResourceSource, container: Container, context: _Context) -> int:
    """Rounded up to whole divisors. Where a container has no limit the kubelet gives what its node has; here that is
    what the pod as a whole is given."""
    named = next((one for one in context.pod.all_containers if one.name == source.container), container)
    amounts = named.resources.limits if source.side == "limits" else named.resources.requests
    whole = {CPU: context.demand.millicores * 10**6, MEMORY: context.demand.memory * 10**9}
    fallback = whole.get(source.resource, 0) if source.side == "limits" else 0
    nanos = amounts[source.resource].nanos if source.resource in amounts else fallback
    return -(-nanos // source.divisor.nanos)


def field_text(pod: Pod, source: FieldSource) -> str:
    """The value of a field of the pod as text; a label or annotation that it lacks is empty."""
    if source.path in ("metadata.labels", "metadata.annotations"):
        values = pod.labels if source.path == "metadata.labels" else pod.annotations
        return (
            values.get(source.key, "") if source.key else "\n".join(f"{k}={_quote(values[k])}" for k in sorted(values))
        )
    return {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.uid,
        "spec.serviceAccountName": pod.service_account,
    }[source.path]


_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}
_ESCAPES |= {"\\": r"\\", '"': r"\""}


def _quote(text: str) -> str:
    """Quoted as Go's %q, which is how the kubelet writes labels and annotations into files."""
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else _escape(ord(c))) for c in text) + '"'


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _volume(volume: Volume, bundle: Bundle) -> VolumeOrder:
    source = volume.source
    if isinstance(source, EmptyDir):
        return VolumeOrder(name=volume.name, kind="empty", medium=source.medium, size_limit=source.size_limit)
    files = _object_files(source, bundle) if isinstance(source, ObjectFiles) else _field_files(source, bundle.pod)
    return VolumeOrder(name=volume.name, kind="files", files=list(files))


def _object_files(source: ObjectFiles, bundle: Bundle) -> Iterator[FileOrder]:
    found = (bundle.input(source.kind, source.name) or Input({})).files
    if not source.items:
        for key in sorted(found):
            yield _file(key, found[key], source.mode)
    for item in source.items:
        if item.key in found:
            yield _file(item.path, found[item.key], source.mode if item.mode is None else item.mode)


def _field_files(source: FieldFiles, pod: Pod) -> Iterator[FileOrder]:
    for item in source.items:
        yield _file(item.path, field_text(pod, item.source).encode(), source.mode if item.mode is None else item.mode)


def _file(path: str, data: bytes, mode: int) -> FileOrder:
    return FileOrder(path=path, mode=mode, data=base64.b64encode(data).decode())
