"""The part of v1.Pod that is honoured, typed, defaulted and validated as the API server does it.

What is not here is in `fields`: harmless, or refused with words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from farnode.errors import Invalid
from farnode.model.alias import HostAlias, read_alias
from farnode.model.annotations import Settings, read_settings
from farnode.model.container import Container, Surroundings, read_container, read_init_container
from farnode.model.effective import read_pod_resources
from farnode.model.env import ResourceSource, read_reference
from farnode.model.fields import Ignored, check_fields
from farnode.model.names import LABEL, LABEL_VALUE, SUBDOMAIN, UID, check_qualified
from farnode.model.projection import FieldFiles, Files, ObjectFiles, Projected, field_of
from farnode.model.reader import INT32, Reader
from farnode.model.resources import Resources
from farnode.model.restart import RESTART_POLICIES
from farnode.model.serviceaccount import without_service_account
from farnode.model.volume import ImageVolume, Volume, read_volumes

DEFAULT_GRACE = 30
"""Seconds between SIGTERM and SIGKILL, Kubernetes' default."""
ANNOTATIONS_LIMIT = 256 * 1024
"""Bytes of all annotations together, Kubernetes' limit."""


@dataclass(frozen=True, slots=True)
class Pod:
    """`uid` may be "" (a bundle's pod always has one); `grace` and `deadline` in seconds; `settings` are those of the
    farnode.io/ annotations; `node_name` is the cluster's node it is bound to, "" in direct mode; `resources` what it
    asks for as a whole; `ignored` the harmless fields the pod gave, for a note to its user."""

    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    settings: Settings
    init_containers: tuple[Container, ...]
    containers: tuple[Container, ...]
    volumes: tuple[Volume, ...]
    restart_policy: str
    grace: int
    deadline: int | None
    hostname: str
    node_selector: Mapping[str, str]
    image_pull_secrets: tuple[str, ...]
    service_account: str
    node_name: str = ""
    readiness_gates: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    share_processes: bool = False
    host_aliases: tuple[HostAlias, ...] = ()
    priority: int = 0
    ignored: tuple[Ignored, ...] = ()

    @property
    def all_containers(self) -> tuple[Container, ...]:
        """Init containers first, the order they run in."""
        return self.init_containers + self.containers

    @property
    def image_references(self) -> tuple[tuple[str, str], ...]:
        """The images of containers and of image volumes, each (reference, pull policy) once."""
        wanted = [(one.image, one.pull_policy) for one in self.all_containers]
        return tuple(dict.fromkeys([*wanted, *self.image_volumes]))

    @property
    def image_volumes(self) -> tuple[tuple[str, str], ...]:
        """Those of image volumes alone, needed under every runtime."""
        sources = [volume.source for volume in self.volumes]
        wanted = [(one.reference, one.pull_policy) for one in sources if isinstance(one, ImageVolume)]
        return tuple(dict.fromkeys(wanted))


class Identity(NamedTuple):
    """What tells a pod from others of its kind."""

    uid: str
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def renamed(sample: Pod, metadata: Reader, own_hostname: bool) -> Pod:
    """The pod with this metadata, alike to `sample` in its namespace, its settings and its whole spec, which names no
    hostname unless `own_hostname`. Invalid as parse_pod."""
    ignored = check_fields(metadata.value, "metadata", metadata.path)
    identity = _read_identity(metadata)
    hostname = sample.hostname if own_hostname else _hostname(identity.name)
    return replace(sample, **identity._asdict(), hostname=hostname, ignored=(*ignored, *sample.ignored))


def parse_pod(document: Mapping[str, object], *, automatic_token: bool = False) -> Pod:
    """The pod of a v1.Pod document; Invalid names the first field that cannot be honoured. `automatic_token`: the one
    that an API server mounts into every pod comes with it, else its volume is dropped."""
    given = Reader(document).object()
    whole = Reader(given if automatic_token else {**given, "spec": without_service_account(given.get("spec"))})
    ignored = check_fields(whole.value, "pod")
    _check_type(whole)
    whole.at("spec").at("os").at("name").choice(("linux",), "linux")
    pod = _read_pod(whole.at("metadata"), whole.at("spec"), ignored)
    _check_containers(pod)
    return pod


def _check_type(reader: Reader) -> None:
    for key, wanted in (("apiVersion", "v1"), ("kind", "Pod")):
        if reader.at(key).text(wanted) != wanted:
            raise reader.at(key).invalid(f"must be {wanted}")


def _read_pod(metadata: Reader, spec: Reader, ignored: tuple[Ignored, ...]) -> Pod:
    identity = _read_identity(metadata)
    volumes = read_volumes(spec.at("volumes"), identity.name)
    grace = spec.at("terminationGracePeriodSeconds").number(0)
    grace = DEFAULT_GRACE if grace is None else grace
    around = Surroundings(volumes, grace, spec.at("os").at("name").text(""))
    init_containers = tuple(read_init_container(item, around) for item in spec.at("initContainers").items())
    containers = tuple(read_container(item, around) for item in spec.at("containers").items())
    return Pod(
        **identity._asdict(),
        namespace=LABEL.check(metadata.at("namespace").text("default"), f"{metadata.path}.namespace"),
        settings=read_settings(identity.annotations, f"{metadata.path}.annotations"),
        init_containers=init_containers,
        containers=containers,
        volumes=tuple(volumes.values()),
        restart_policy=spec.at("restartPolicy").choice(RESTART_POLICIES, "Always"),
        grace=grace,
        deadline=spec.at("activeDeadlineSeconds").number(1),
        hostname=_read_optional(spec.at("hostname"), LABEL.check) or _hostname(identity.name),
        node_selector=read_labels(spec.at("nodeSelector")),
        image_pull_secrets=tuple(read_reference(item) for item in spec.at("imagePullSecrets").items()),
        service_account=_read_optional(spec.at("serviceAccountName"), SUBDOMAIN.check) or "default",
        node_name=_read_optional(spec.at("nodeName"), SUBDOMAIN.check),
        readiness_gates=tuple(_read_gate(item.at("conditionType")) for item in spec.at("readinessGates").items()),
        resources=read_pod_resources(spec.at("resources"), init_containers, containers),
        share_processes=spec.at("shareProcessNamespace").flag(),
        host_aliases=tuple(read_alias(item) for item in spec.at("hostAliases").items()),
        priority=spec.at("priority").number(-INT32 - 1) or 0,
        ignored=ignored,
    )


def _read_identity(metadata: Reader) -> Identity:
    return Identity(
        uid=_read_optional(metadata.at("uid"), UID.check),
        name=SUBDOMAIN.check(metadata.at("name").text(), f"{metadata.path}.name"),
        labels=read_labels(metadata.at("labels")),
        annotations=_read_annotations(metadata.at("annotations")),
    )


def _hostname(name: str) -> str:
    return name[:63].rstrip("-.")


def read_labels(reader: Reader) -> dict[str, str]:
    labels = {}
    for key, value in reader.entries().items():
        labels[check_qualified(key, value.path)] = LABEL_VALUE.check(value.raw_text(), value.path)
    return labels


def _read_annotations(reader: Reader) -> dict[str, str]:
    annotations = reader.text_map()
    for key in annotations:
        check_qualified(key, f"{reader.path}[{key}]")
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > ANNOTATIONS_LIMIT:
        raise reader.invalid(f"are more than {ANNOTATIONS_LIMIT} bytes together")
    return annotations


def _read_gate(reader: Reader) -> str:
    return check_qualified(reader.text(), reader.path)


def _read_optional(reader: Reader, check: Callable[[str, str], str]) -> str:
    text = reader.text("")
    return check(text, reader.path) if text else ""


def _check_containers(pod: Pod) -> None:
    """What holds between containers: there is one, names and host ports are unique, and resource references name one
    of them."""
    if not pod.containers:
        raise Invalid("spec.containers", "is required: a pod has at least one container")
    seen: set[str] = set()
    for path, container in containers_with_paths(pod):
        if container.name in seen:
            raise Invalid(f"{path}.name", f"{container.name!r} is already the name of another container")
        seen.add(container.name)
    _check_host_ports(pod)
    for path, source in _resource_sources(pod):
        if source.container and source.container not in seen:
            raise Invalid(f"{path}.containerName", f"{source.container!r} is not a container of this pod")


def containers_with_paths(pod: Pod) -> Iterator[tuple[str, Container]]:
    """Each container with its place in the document, such as `spec.containers[0]`."""
    for key, containers in (("initContainers", pod.init_containers), ("containers", pod.containers)):
        for index, container in enumerate(containers):
            yield f"spec.{key}[{index}]", container


def _check_host_ports(pod: Pod) -> None:
    taken: set[tuple[str, str, int]] = set()
    for index, container in enumerate(pod.containers):
        for place, port in enumerate(container.ports):
            if port.host is None:
                continue
            key = (port.protocol, port.host, port.port)
            if key in taken:
                path = f"spec.containers[{index}].ports[{place}].hostPort"
                raise Invalid(path, f"{port.port} is already taken by another port of this pod")
            taken.add(key)


def _resource_sources(pod: Pod) -> Iterator[tuple[str, ResourceSource]]:
    """Every `resourceFieldRef` of the pod with its place."""
    for path, container in containers_with_paths(pod):
        for index, variable in enumerate(container.env):
            if isinstance(variable.source, ResourceSource):
                yield f"{path}.env[{index}].valueFrom.resourceFieldRef", variable.source
    for path, source in files_with_paths(pod):
        if isinstance(source, FieldFiles):
            for index, item in enumerate(source.items):
                if isinstance(item.source, ResourceSource):
                    yield f"{path}.items[{index}].resourceFieldRef", item.source


def files_with_paths(pod: Pod) -> Iterator[tuple[str, Files]]:
    """Every source of files among the volumes with its place, such as `spec.volumes[0].projected.sources[1].secret`."""
    for index, volume in enumerate(pod.volumes):
        path = f"spec.volumes[{index}]"
        if isinstance(volume.source, Projected):
            for place, source in enumerate(volume.source.sources):
                yield f"{path}.projected.sources[{place}].{field_of(source)}", source
        elif isinstance(volume.source, ObjectFiles | FieldFiles):
            yield f"{path}.{field_of(volume.source)}", volume.source
