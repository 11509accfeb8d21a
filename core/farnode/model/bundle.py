"""A bundle: a pod with the ConfigMaps and Secrets it refers to, self-contained and validated.

Its JSON is `{"pod": v1.Pod, "configMaps": [v1.ConfigMap], "secrets": [v1.Secret]}`. The original is kept, so that what
is stored is what was sent, and a later version can read it again.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from farnode.errors import Invalid
from farnode.model.env import ObjectKind
from farnode.model.fields import check_fields
from farnode.model.gpu import demand
from farnode.model.names import KEY, SUBDOMAIN
from farnode.model.pod import Pod, parse_pod
from farnode.model.reader import Reader
from farnode.model.reference import Reference, references

OBJECT_LIMIT = 1024 * 1024
"""Bytes of one ConfigMap or Secret, Kubernetes' limit."""
INPUTS_LIMIT = 16 * 1024 * 1024
"""Bytes of all that is put into a pod's files and variables: in base64 it must fit into one frame to a runner."""
_LISTS: dict[ObjectKind, str] = {"ConfigMap": "configMaps", "Secret": "secrets"}


@dataclass(frozen=True, slots=True)
class Input:
    """A ConfigMap or Secret. `data` by key; `binary` is a ConfigMap's binaryData, which reaches files only."""

    data: Mapping[str, bytes] = field(repr=False)
    binary: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    type: str = ""

    @property
    def files(self) -> dict[str, bytes]:
        return {**self.data, **self.binary}


@dataclass(frozen=True, slots=True)
class Bundle:
    """`config_maps` and `secrets` by name; `document` is the JSON it was read from."""

    pod: Pod
    config_maps: Mapping[str, Input]
    secrets: Mapping[str, Input]
    document: Mapping[str, object] = field(repr=False, compare=False)

    def input(self, kind: ObjectKind, name: str) -> Input | None:
        return (self.config_maps if kind == "ConfigMap" else self.secrets).get(name)


def parse_bundle(document: Mapping[str, object]) -> Bundle:
    """Invalid names the field; fields of the pod begin at `metadata` or `spec`, without `pod.` before them."""
    reader = Reader(document)
    for key in reader.object():
        if key not in ("pod", "configMaps", "secrets"):
            raise Invalid(key, "is not part of a bundle; its parts are pod, configMaps and secrets")
    if not reader.at("pod").object():
        raise reader.at("pod").invalid("is required: a v1.Pod")
    pod = parse_pod(reader.at("pod").object())
    if not pod.uid:
        raise Invalid("metadata.uid", "is required: a lower-case UUID, the key by which the pod is known")
    demand(pod)
    config_maps, secrets = (_read_inputs(reader, kind, pod.namespace) for kind in _LISTS)
    bundle = Bundle(pod, config_maps, secrets, document)
    _check_references(bundle)
    return bundle


def _read_inputs(reader: Reader, kind: ObjectKind, namespace: str) -> dict[str, Input]:
    inputs: dict[str, Input] = {}
    for item in reader.at(_LISTS[kind]).items():
        name, found = read_input(item, kind, namespace)
        if name in inputs:
            raise item.at("metadata").at("name").invalid(f"there is already a {kind} {name!r} in this bundle")
        inputs[name] = found
    return inputs


def read_input(reader: Reader, kind: ObjectKind, namespace: str) -> tuple[str, Input]:
    """The name and content of one ConfigMap or Secret, which must be in the pod's namespace."""
    check_fields(reader.value, "configMap" if kind == "ConfigMap" else "secret", reader.path)
    metadata = reader.at("metadata")
    name = SUBDOMAIN.check(metadata.at("name").text(), f"{metadata.path}.name")
    if metadata.at("namespace").text("default") != namespace:
        raise metadata.at("namespace").invalid(f"must be the pod's, {namespace!r}")
    found = _read_config_map(reader) if kind == "ConfigMap" else _read_secret(reader)
    for key in found.files:
        KEY.check(key, f"{reader.path}.data[{key}]")
    if sum(map(len, found.files.values())) > OBJECT_LIMIT:
        raise reader.invalid(f"has more than {OBJECT_LIMIT} bytes, Kubernetes' limit for a {kind}")
    return name, found


def _read_config_map(reader: Reader) -> Input:
    data = {key: value.encode() for key, value in reader.at("data").text_map().items()}
    binary = {key: _decode(value) for key, value in reader.at("binaryData").entries().items()}
    if both := sorted(data.keys() & binary.keys()):
        raise reader.at("binaryData").invalid(f"{both[0]!r} is also a key of data")
    return Input(data, binary)


def _read_secret(reader: Reader) -> Input:
    data = {key: _decode(_hidden(value)) for key, value in reader.at("data").entries().items()}
    plain = {key: _hidden(value).raw_text().encode() for key, value in reader.at("stringData").entries().items()}
    return Input({**data, **plain}, type=reader.at("type").text("Opaque"))


def _hidden(reader: Reader) -> Reader:
    """A value of a Secret, whose wrong type is told without showing it."""
    if not isinstance(reader.value, str):
        raise reader.invalid("must be text: put it in quotes")
    return reader


def _decode(reader: Reader) -> bytes:
    text = reader.raw_text().replace("\n", "").replace("\r", "")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise reader.invalid(
            "is not base64; plain text goes into stringData of a Secret or data of a ConfigMap"
        ) from None


def _check_references(bundle: Bundle) -> None:
    total = 0
    for reference in references(bundle.pod):
        found = bundle.input(reference.kind, reference.name)
        if found is not None:
            total += _check_keys(reference, found)
        elif not reference.optional:
            words = f"needs the {reference.kind} {reference.name!r} of namespace {bundle.pod.namespace!r}"
            raise Invalid(reference.path, f"{words}, which does not come with the pod; add it, or set optional: true")
    if total > INPUTS_LIMIT:
        raise Invalid(
            "spec", f"{total} bytes of ConfigMaps and Secrets are put into this pod; at most {INPUTS_LIMIT} may be"
        )


def _check_keys(reference: Reference, found: Input) -> int:
    """The bytes this reference puts into the pod."""
    values = found.data if reference.env else found.files
    for key in reference.keys:
        if key not in values and not reference.optional:
            known = ", ".join(sorted(values)) or "none"
            raise Invalid(
                reference.path, f"the {reference.kind} {reference.name!r} has no key {key!r}; its keys: {known}"
            )
    taken = {key: value for key, value in values.items() if key in reference.keys or not reference.keys}
    if reference.env:
        _check_text(reference, taken)
    return sum(map(len, taken.values()))


def _check_text(reference: Reference, values: Mapping[str, bytes]) -> None:
    for key, value in values.items():
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = "\x00"
        if "\x00" in text:
            words = f"the key {key!r} of the {reference.kind} {reference.name!r} is binary, not text (UTF-8)"
            raise Invalid(reference.path, f"{words}: mount it as a file instead")
