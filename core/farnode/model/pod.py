"""The part of v1.Pod that is honoured, typed, defaulted and validated as the API server does it.

What is not here is in `fields`: harmless, or refused with words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from farnode.errors import Invalid
from farnode.model.annotations import Settings, read_settings
from farnode.model.container import Container, read_container
from farnode.model.env import ResourceSource, read_reference
from farnode.model.fields import Ignored, check_fields
from farnode.model.names import LABEL, LABEL_VALUE, SUBDOMAIN, UID, check_qualified
from farnode.model.reader import Reader
from farnode.model.serviceaccount import without_service_account
from farnode.model.volume import Volume, read_volume

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DEFAULT_GRACE = 30
"""Seconds between SIGTERM and SIGKILL, Kubernetes' default."""
ANNOTATIONS_LIMIT = 256 * 1024
"""Bytes of all annotations together, Kubernetes' limit."""


@dataclass(frozen=True, slots=True)
class Pod:
    """`uid` may be "" (a bundle's pod always has one); `grace` and `deadline` in seconds; `settings` are those of the
    farnode.io/ annotations; `ignored` the harmless fields the pod gave, for a note to its user."""

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
    readiness_gates: tuple[str, ...] = ()
    ignored: tuple[Ignored, ...] = ()

    @property
    def all_containers(self) -> tuple[Container, ...]:
        """Init containers first, the order they run in."""
        return self.init_containers + self.containers


def parse_pod(document: Mapping[str, object]) -> Pod:
    """The pod of a v1.Pod document; Invalid names the first field that cannot be honoured."""
    given = Reader(document).object()
    whole = Reader({**given, "spec": without_service_account(given.get("spec"))})
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
    name = SUBDOMAIN.check(metadata.at("name").text(), f"{metadata.path}.name")
    volumes = tuple(_read_volumes(spec.at("volumes")))
    names = [volume.name for volume in volumes]
    annotations = _read_annotations(metadata.at("annotations"))
    grace = spec.at("terminationGracePeriodSeconds").number(0)
    return Pod(
        uid=_read_optional(metadata.at("uid"), UID.check),
        namespace=LABEL.check(metadata.at("namespace").text("default"), f"{metadata.path}.namespace"),
        name=name,
        labels=read_labels(metadata.at("labels")),
        annotations=annotations,
        settings=read_settings(annotations, f"{metadata.path}.annotations"),
        init_containers=tuple(read_container(item, names) for item in spec.at("initContainers").items()),
        containers=tuple(read_container(item, names) for item in spec.at("containers").items()),
        volumes=volumes,
        restart_policy=spec.at("restartPolicy").choice(RESTART_POLICIES, "Always"),
        grace=DEFAULT_GRACE if grace is None else grace,
        deadline=spec.at("activeDeadlineSeconds").number(1),
        hostname=_read_optional(spec.at("hostname"), LABEL.check) or name[:63].rstrip("-."),
        node_selector=read_labels(spec.at("nodeSelector")),
        image_pull_secrets=tuple(read_reference(item) for item in spec.at("imagePullSecrets").items()),
        service_account=_read_optional(spec.at("serviceAccountName"), SUBDOMAIN.check) or "default",
        ignored=ignored,
    )


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


def _read_volumes(reader: Reader) -> Iterator[Volume]:
    seen = set()
    for item in reader.items():
        volume = read_volume(item)
        if volume.name in seen:
            raise item.at("name").invalid(f"{volume.name!r} is already the name of another volume")
        seen.add(volume.name)
        yield volume


def _read_optional(reader: Reader, check: Callable[[str, str], str]) -> str:
    text = reader.text("")
    return check(text, reader.path) if text else ""


def _check_containers(pod: Pod) -> None:
    """What holds between containers: there is one, names are unique, and resource references name one of them."""
    if not pod.containers:
        raise Invalid("spec.containers", "is required: a pod has at least one container")
    seen: set[str] = set()
    for path, container in containers_with_paths(pod):
        if container.name in seen:
            raise Invalid(f"{path}.name", f"{container.name!r} is already the name of another container")
        seen.add(container.name)
    for path, container in containers_with_paths(pod):
        _check_resource_references(path, container, seen)


def containers_with_paths(pod: Pod) -> Iterator[tuple[str, Container]]:
    """Each container with its place in the document, such as `spec.containers[0]`."""
    for key, containers in (("initContainers", pod.init_containers), ("containers", pod.containers)):
        for index, container in enumerate(containers):
            yield f"spec.{key}[{index}]", container


def _check_resource_references(path: str, container: Container, names: set[str]) -> None:
    for index, variable in enumerate(container.env):
        source = variable.source
        if isinstance(source, ResourceSource) and source.container and source.container not in names:
            place = f"{path}.env[{index}].valueFrom.resourceFieldRef.containerName"
            raise Invalid(place, f"{source.container!r} is not a container of this pod")
