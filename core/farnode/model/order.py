"""A bundle and its images -> the order a runner carries out: everything resolved that can be known before it starts.

What only the compute node knows (its address) is left to the runner as a field to fill in.
Source of the rules: the kubelet's making of environment variables and of volumes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from farnode.model.bundle import Bundle
from farnode.model.container import Container
from farnode.model.demand import Demand
from farnode.model.downward import field_text, resource_text
from farnode.model.env import EnvVar, FieldSource, KeySource, ResourceSource
from farnode.model.files import File, files_of
from farnode.model.gpu import gpus_of
from farnode.model.image import Image
from farnode.model.inputs import Input
from farnode.model.mount import Mount
from farnode.model.peers import Peers
from farnode.model.pod import Pod
from farnode.model.routine import routine
from farnode.model.volume import Claim, EmptyDir, EphemeralClaim, HostPath, ImageVolume, Volume, claim_name
from farnode.wire.messages import (
    ContainerOrder,
    EnvOrder,
    FileOrder,
    HostAlias,
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
    claims: Mapping[str, str]
    node_name: str
    peers: Peers | None

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
    claims: Mapping[str, str] | None = None,
    peers: Peers | None = None,
) -> PodOrder:
    """The order of one attempt. `images` by reference; `node_name` is for a pod that no cluster bound to a node;
    `restarts` are restart counts of earlier attempts by container name; `claims` gives the directory of each claim the
    pod uses; `peers` its gang."""
    pod, needs = bundle.pod, bundle.demand
    node_name = pod.node_name or node_name
    context = _Context(bundle, needs, images, claims or {}, node_name, peers)
    made = PodOrder(
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
        volumes=[_volume(volume, context) for volume in pod.volumes],
        restarts=dict(restarts),
        mpi=pod.settings.mpi,
    )
    if pod.share_processes:
        made["share_processes"] = True
    if aliases := [*_own_aliases(pod), *_gang_aliases(peers, runtime)]:
        made["host_aliases"] = aliases
    return made


def _own_aliases(pod: Pod) -> Iterator[HostAlias]:
    for one in pod.host_aliases:
        yield HostAlias(ip=one.ip, hostnames=list(one.hostnames))


def _gang_aliases(peers: Peers | None, runtime: str) -> Iterator[HostAlias]:
    """Without an image /etc/hosts is the node's own, which knows the nodes."""
    if peers is not None and runtime != "process":
        for address, name in peers.aliases:
            yield HostAlias(ip=address, hostnames=[name])


def _container(container: Container, context: _Context) -> ContainerOrder:
    made = ContainerOrder(
        name=container.name,
        image=_image(context.images[container.image]),
        env=[*_env_of_gang(context.peers), *_env_from(container, context.bundle), *_env(container, context)],
        working_dir=container.working_dir,
        mounts=[_mount(mount, context.pod) for mount in container.mounts],
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
    made.update(routine(container, context.pod.resources))
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
    if image.stop_signal:
        made["stop_signal"] = image.stop_signal
    return made


def _mount(mount: Mount, pod: Pod) -> MountOrder:
    volume = next(one for one in pod.volumes if one.name == mount.volume)
    made = MountOrder(
        volume=mount.volume, path=mount.path, read_only=mount.read_only or volume.read_only, sub_path=mount.sub_path
    )
    if mount.sub_path_expr:
        made["sub_path_expr"] = mount.sub_path_expr
    return made


def _env_of_gang(peers: Peers | None) -> Iterator[EnvOrder]:
    """First, so that the pod's own variables may refer to them."""
    if peers is not None:
        for name, value in peers.environment.items():
            yield EnvOrder(name=name, value=value, literal=True)


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
        return resource_text(context.pod, context.demand, source, container)
    assert source is not None
    return context.node_name if source.path == "spec.nodeName" else field_text(context.pod, source)


def _volume(volume: Volume, context: _Context) -> VolumeOrder:
    source = volume.source
    if isinstance(source, EmptyDir):
        return VolumeOrder(name=volume.name, kind="empty", medium=source.medium, size_limit=source.size_limit)
    if isinstance(source, HostPath):
        return VolumeOrder(name=volume.name, kind="path", path=source.path, type=source.type)
    if isinstance(source, Claim | EphemeralClaim):
        name = claim_name(volume, context.pod.name)
        assert name is not None
        return VolumeOrder(name=volume.name, kind="path", path=context.claims[name], type="Directory")
    if isinstance(source, ImageVolume):
        return VolumeOrder(name=volume.name, kind="image", image=_image(context.images[source.reference]))
    files = files_of(source, context.pod, context.bundle.inputs, context.demand)
    return VolumeOrder(name=volume.name, kind="files", files=[_file(file) for file in files])


def _file(file: File) -> FileOrder:
    return FileOrder(path=file.path, mode=file.mode, data=base64.b64encode(file.data).decode())
