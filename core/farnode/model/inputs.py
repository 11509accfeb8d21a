"""What a pod is given beside its own document: ConfigMaps, Secrets, tokens, trust bundles and claims."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from farnode.errors import Invalid
from farnode.model.claim import ClaimSpec, read_claim
from farnode.model.env import ObjectKind
from farnode.model.fields import check_fields
from farnode.model.names import KEY, SUBDOMAIN
from farnode.model.reader import Reader
from farnode.model.trust import TrustBundle, read_trust_bundle

T = TypeVar("T")

OBJECT_LIMIT = 1024 * 1024
"""Bytes of one ConfigMap or Secret, Kubernetes' limit."""
LISTS = ("configMaps", "secrets", "persistentVolumeClaims", "clusterTrustBundles", "serviceAccountTokens")


@dataclass(frozen=True, slots=True)
class Input:
    """A ConfigMap or Secret. `data` by key; `binary` is a ConfigMap's binaryData, which reaches files only. An
    `immutable` one never changes again."""

    data: Mapping[str, bytes] = field(repr=False)
    binary: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    type: str = ""
    immutable: bool = False

    @property
    def files(self) -> dict[str, bytes]:
        return {**self.data, **self.binary}


@dataclass(frozen=True, slots=True)
class Inputs:
    """All by name, tokens by their audience ("": the API server's own)."""

    config_maps: Mapping[str, Input]
    secrets: Mapping[str, Input]
    claims: Mapping[str, ClaimSpec]
    trust_bundles: Mapping[str, TrustBundle]
    tokens: Mapping[str, str] = field(repr=False)

    def find(self, kind: ObjectKind, name: str) -> Input | None:
        return (self.config_maps if kind == "ConfigMap" else self.secrets).get(name)


def read_inputs(reader: Reader, namespace: str) -> Inputs:
    """Of a bundle whose pod is in `namespace`; all but trust bundles and tokens must be in it, too."""

    def config_map(item: Reader) -> tuple[str, Input]:
        return _read_input(item, "ConfigMap", namespace)

    def secret(item: Reader) -> tuple[str, Input]:
        return _read_input(item, "Secret", namespace)

    def claim(item: Reader) -> tuple[str, ClaimSpec]:
        _check_namespace(item.at("metadata"), namespace)
        return read_claim(item)

    return Inputs(
        _read_list(reader.at("configMaps"), config_map, "ConfigMap"),
        _read_list(reader.at("secrets"), secret, "Secret"),
        _read_list(reader.at("persistentVolumeClaims"), claim, "PersistentVolumeClaim"),
        _read_list(reader.at("clusterTrustBundles"), read_trust_bundle, "ClusterTrustBundle"),
        read_tokens(reader.at("serviceAccountTokens")),
    )


def read_tokens(reader: Reader) -> dict[str, str]:
    """By their audience."""
    return _read_list(reader, _read_token, "token for")


def _read_list(reader: Reader, read: Callable[[Reader], tuple[str, T]], kind: str) -> dict[str, T]:
    found: dict[str, T] = {}
    for item in reader.items():
        name, value = read(item)
        if name in found:
            place = "audience" if kind == "token for" else "metadata.name"
            raise Invalid(f"{item.path}.{place}", f"there is already a {kind} {name!r} in this bundle")
        found[name] = value
    return found


def _read_token(reader: Reader) -> tuple[str, str]:
    check_fields(reader.value, "token", reader.path)
    return reader.at("audience").text(""), _hidden(reader.at("token")).text()


def _read_input(reader: Reader, kind: ObjectKind, namespace: str) -> tuple[str, Input]:
    check_fields(reader.value, "configMap" if kind == "ConfigMap" else "secret", reader.path)
    metadata = reader.at("metadata")
    name = SUBDOMAIN.check(metadata.at("name").text(), f"{metadata.path}.name")
    _check_namespace(metadata, namespace)
    found = _read_config_map(reader) if kind == "ConfigMap" else _read_secret(reader)
    for key in found.files:
        KEY.check(key, f"{reader.path}.data[{key}]")
    if sum(map(len, found.files.values())) > OBJECT_LIMIT:
        raise reader.invalid(f"has more than {OBJECT_LIMIT} bytes, Kubernetes' limit for a {kind}")
    return name, found


def _check_namespace(metadata: Reader, namespace: str) -> None:
    if metadata.at("namespace").text("default") != namespace:
        raise metadata.at("namespace").invalid(f"must be the pod's, {namespace!r}")


def _read_config_map(reader: Reader) -> Input:
    data = {key: value.encode() for key, value in reader.at("data").text_map().items()}
    binary = {key: _decode(value) for key, value in reader.at("binaryData").entries().items()}
    if both := sorted(data.keys() & binary.keys()):
        raise reader.at("binaryData").invalid(f"{both[0]!r} is also a key of data")
    return Input(data, binary, immutable=reader.at("immutable").flag())


def _read_secret(reader: Reader) -> Input:
    data = {key: _decode(_hidden(value)) for key, value in reader.at("data").entries().items()}
    plain = {key: _hidden(value).raw_text().encode() for key, value in reader.at("stringData").entries().items()}
    return Input({**data, **plain}, {}, reader.at("type").text("Opaque"), reader.at("immutable").flag())


def _hidden(reader: Reader) -> Reader:
    """A value that is secret, whose wrong type is told without showing it."""
    if reader.given and not isinstance(reader.value, str):
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
