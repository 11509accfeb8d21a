"""The files of a user -> bundles: Pods joined with the ConfigMaps and Secrets that stand beside them.

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
from farnode.model.pod import parse_pod
from farnode.model.reader import Reader
from farnode.model.reference import references

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' own for generated names: no vowels, hence no words."""
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

    A pod without a UID gets a new one; `generateName` gets a suffix made of the UID. ConfigMaps and Secrets that no
    pod refers to are left out. Invalid names the file, the object and the field.
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
    """The Pods, ConfigMaps and Secrets of one value, which may be a List of them."""
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
        namespace = metadata.at("namespace").text("default")
    yield _Manifest(f"{source}: {kind} {name}".rstrip(), kind, namespace, name, reader.object())


def _check_kind(kind: str) -> None:
    if kind in _TEMPLATED:
        raise Invalid(
            "kind", f"a {kind} is run by a cluster: create it there, or wrap its spec.template into a Pod here"
        )
    if kind not in ("Pod", "ConfigMap", "Secret"):
        raise Invalid(
            "kind", f"a {kind!r} cannot be handed to a site: it takes Pods, with their ConfigMaps and Secrets"
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
            raise Invalid(item.place, f"there is already a {item.kind} of this name in namespace {item.namespace!r}")
        seen.add(key)


def _bundle(pod: _Manifest, inputs: Mapping[tuple[str, str, str], Mapping[str, Any]]) -> dict[str, Any]:
    with _placed(pod.place):
        wanted = {(item.kind, pod.namespace, item.name) for item in references(parse_pod(pod.document))}
        found = sorted(key for key in wanted if key in inputs)
        bundle = {
            "pod": pod.document,
            "configMaps": [inputs[key] for key in found if key[0] == "ConfigMap"],
            "secrets": [inputs[key] for key in found if key[0] == "Secret"],
        }
        parse_bundle(bundle)
    return bundle


@contextmanager
def _placed(place: str) -> Iterator[None]:
    """Put the file and the object before the field of what is Invalid."""
    try:
        yield
    except Invalid as error:
        raise Invalid(f"{place}: {error.field}" if error.field else place, error.problem) from None
