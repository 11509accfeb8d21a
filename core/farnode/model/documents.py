"""The files of a user -> bundles: Pods joined with the ConfigMaps, Secrets, claims and trust bundles beside them.

Pure: texts in, JSON out; nothing is read and no identity is invented here (`new_uid` is passed in).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from farnode.errors import Invalid
from farnode.model.bundle import parse_bundle
from farnode.model.manifest import read_values
from farnode.model.pod import Pod, parse_pod
from farnode.model.reader import Reader
from farnode.model.reference import claim_names, references, trust_files

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' own for generated names: no vowels, hence no words."""
_PARTS = {
    "ConfigMap": "configMaps",
    "Secret": "secrets",
    "PersistentVolumeClaim": "persistentVolumeClaims",
    "ClusterTrustBundle": "clusterTrustBundles",
}
"""The kinds that come with a pod, and the part of a bundle they stand in."""
_TEMPLATED = ("Job", "CronJob", "Deployment", "StatefulSet", "ReplicaSet", "DaemonSet", "ReplicationController")


@dataclass(frozen=True, slots=True)
class _Manifest:
    """One object of a file; `place` is the file and the object, for messages."""

    place: str
    kind: str
    namespace: str
    name: str
    document: Mapping[str, Any]


def read_bundles(sources: Iterable[tuple[str, str]], new_uid: Callable[[], str]) -> list[dict[str, Any]]:
    """The bundle documents of some files, given as (name, text), in the order of their pods.

    A pod without a UID gets a new one; `generateName` gets a suffix made of the UID. What no pod refers to is left
    out. Invalid names the file, the object and the field.
    """
    manifests = [
        item for source, text in sources for value in read_values(source, text) for item in _sort(source, value)
    ]
    pods = [_identified(item, new_uid) for item in manifests if item.kind == "Pod"]
    inputs = [item for item in manifests if item.kind != "Pod"]
    _check_unique([*pods, *inputs])
    by_key = {(item.kind, item.namespace, item.name): item.document for item in inputs}
    return [_bundle(pod, by_key) for pod in pods]


def _sort(source: str, value: object) -> Iterator[_Manifest]:
    """The objects of one value, which may be a List of them."""
    with _placed(source):
        reader = Reader(value)
        kind = reader.at("kind").text()
        items = reader.at("items").items() if kind == "List" else None
    if items is not None:
        for item in items:
            yield from _sort(source, item.value)
        return
    metadata = reader.at("metadata")
    with _placed(f"{source}: {kind}"):
        _check_kind(kind)
        name = metadata.at("name").text("")
        namespace = "" if kind == "ClusterTrustBundle" else metadata.at("namespace").text("default")
    yield _Manifest(f"{source}: {kind} {name}".rstrip(), kind, namespace, name, reader.object())


def _check_kind(kind: str) -> None:
    if kind in _TEMPLATED:
        raise Invalid(
            "kind", f"a {kind} is run by a cluster: create it there, or wrap its spec.template into a Pod here"
        )
    if kind != "Pod" and kind not in _PARTS:
        raise Invalid(
            "kind", f"a {kind!r} cannot be handed to a site: it takes Pods, and with them {', '.join(_PARTS)}"
        )


def _identified(pod: _Manifest, new_uid: Callable[[], str]) -> _Manifest:
    """The pod with a UID and a name."""
    with _placed(pod.place):
        metadata = Reader(pod.document).at("metadata")
        uid = metadata.at("uid").text("") or new_uid()
        name = pod.name or _generated(metadata.at("generateName").text(""), uid)
    document = {**pod.document, "metadata": {**metadata.object(), "uid": uid, **({"name": name} if name else {})}}
    return replace(pod, name=name, document=document)


def _generated(prefix: str, uid: str) -> str:
    """As the API server: the prefix, cut so that the name stays valid, and five letters or digits."""
    number = zlib.crc32(uid.encode())
    suffix = "".join(_ALPHABET[number // len(_ALPHABET) ** place % len(_ALPHABET)] for place in range(5))
    return f"{prefix[:58]}{suffix}" if prefix else ""


def _check_unique(manifests: Iterable[_Manifest]) -> None:
    seen = set()
    for item in manifests:
        key = (item.kind, item.namespace, item.name)
        if key in seen:
            where = f" in namespace {item.namespace!r}" if item.namespace else ""
            raise Invalid(item.place, f"there is already a {item.kind} of this name{where}")
        seen.add(key)


def _bundle(pod: _Manifest, inputs: Mapping[tuple[str, str, str], Mapping[str, Any]]) -> dict[str, Any]:
    with _placed(pod.place):
        found: list[tuple[str, str, str]] = []
        if inputs:
            wanted = _wanted(parse_pod(pod.document), pod.namespace)
            found = sorted(key for key in inputs if key in wanted or (key[0], "", "") in wanted)
        bundle: dict[str, Any] = {"pod": pod.document}
        for kind, part in _PARTS.items():
            bundle[part] = [inputs[key] for key in found if key[0] == kind]
        parse_bundle(bundle)
    return bundle


def _wanted(pod: Pod, namespace: str) -> set[tuple[str, str, str]]:
    """Kinds, namespaces and names; without a name all of that kind, of which only their content tells if they count."""
    wanted: set[tuple[str, str, str]] = {(item.kind, namespace, item.name) for item in references(pod)}
    wanted |= {("PersistentVolumeClaim", namespace, name) for _, name in claim_names(pod)}
    return wanted | {("ClusterTrustBundle", "", trust.name) for _, trust in trust_files(pod)}


@contextmanager
def _placed(place: str) -> Iterator[None]:
    """Put the file and the object before the field of what is Invalid."""
    try:
        yield
    except Invalid as error:
        raise Invalid(f"{place}: {error.field}" if error.field else place, error.problem) from None
