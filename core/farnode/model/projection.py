"""Files that are made for a pod: out of ConfigMaps, Secrets, its own fields, tokens and trust bundles.

Source: Kubernetes, "Projected Volumes", "Downward API", and the validation of the API server: paths are relative, never
climb with `..` nor begin with it, and modes are 0 to 0777.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from farnode.errors import Invalid
from farnode.model.env import (
    METADATA_FIELDS,
    FieldSource,
    ObjectKind,
    ResourceSource,
    read_field,
    read_reference,
    read_resource,
)
from farnode.model.names import KEY, SIGNER, TRUST_BUNDLE
from farnode.model.reader import Reader
from farnode.model.selector import Selector, read_selector

DEFAULT_MODE = 0o644
PROJECTIONS = ("configMap", "secret", "downwardAPI", "serviceAccountToken", "clusterTrustBundle")
TOKEN_LIFE = 3600
"""Seconds, Kubernetes' default."""
_LONGEST_PATH = 4096
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class KeyItem:
    """One key as a file; `mode` None: the volume's."""

    key: str
    path: str
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class ObjectFiles:
    """A ConfigMap or Secret as files: all its keys, or only `items`."""

    kind: ObjectKind
    name: str
    items: tuple[KeyItem, ...] = ()
    mode: int = DEFAULT_MODE
    optional: bool = False


@dataclass(frozen=True, slots=True)
class FieldItem:
    path: str
    source: FieldSource | ResourceSource
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class FieldFiles:
    """Fields of the pod as files (downwardAPI)."""

    items: tuple[FieldItem, ...]
    mode: int = DEFAULT_MODE


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A token of the pod's service account; `audience` "": the API server's own. `expiration` in seconds."""

    path: str
    audience: str = ""
    expiration: int = TOKEN_LIFE
    mode: int = DEFAULT_MODE


@dataclass(frozen=True, slots=True)
class TrustFile:
    """The certificates of one ClusterTrustBundle (`name`), or of all of a `signer` that the selector takes; without a
    selector there is none of them."""

    path: str
    name: str = ""
    signer: str = ""
    selector: Selector | None = None
    mode: int = DEFAULT_MODE
    optional: bool = False


Files = ObjectFiles | FieldFiles | TokenFile | TrustFile


@dataclass(frozen=True, slots=True)
class Projected:
    """Files of several sources in one volume; where two have the same path, the later one counts."""

    sources: tuple[Files, ...]


def field_of(source: Files) -> str:
    """The name of the field that such a source stands in."""
    if isinstance(source, ObjectFiles):
        return "configMap" if source.kind == "ConfigMap" else "secret"
    if isinstance(source, TokenFile):
        return "serviceAccountToken"
    return "downwardAPI" if isinstance(source, FieldFiles) else "clusterTrustBundle"


def read_object(reader: Reader, kind: ObjectKind, name: str, mode: int) -> ObjectFiles:
    """`name` is the field that names the object."""
    items = tuple(_read_key(item) for item in reader.at("items").items())
    check_paths([item.path for item in items], reader.at("items").path)
    return ObjectFiles(kind, read_reference(reader, name), items, mode, reader.at("optional").flag())


def read_fields(reader: Reader, mode: int) -> FieldFiles:
    items = tuple(_read_field_item(item) for item in reader.at("items").items())
    check_paths([item.path for item in items], reader.at("items").path)
    return FieldFiles(items, mode)


def read_projected(reader: Reader) -> Projected:
    mode = default_mode(reader)
    sources = tuple(_read_source(source, mode) for source in reader.at("sources").items())
    check_paths([path for source in sources for path in _paths(source)], f"{reader.path}.sources")
    return Projected(sources)


def default_mode(reader: Reader) -> int:
    mode = _mode(reader.at("defaultMode"))
    return DEFAULT_MODE if mode is None else mode


def check_paths(paths: Iterable[str], field: str) -> None:
    """Invalid where two files have one path, or one would have to be a directory for another."""
    seen: set[str] = set()
    for path in paths:
        if path in seen:
            raise Invalid(field, f"two files have the path {path!r}")
        seen.add(path)
    check_tree(seen, field)


def check_tree(paths: Iterable[str], field: str) -> None:
    known = set(paths)
    for path in sorted(known):
        parent = posixpath.dirname(path)
        while parent:
            if parent in known:
                raise Invalid(field, f"{parent!r} is a file, and so cannot hold {path!r}")
            parent = posixpath.dirname(parent)


def _read_source(reader: Reader, mode: int) -> Files:
    chosen = reader.only_one(PROJECTIONS)
    source = reader.at(chosen)
    if chosen == "downwardAPI":
        return read_fields(source, mode)
    if chosen == "serviceAccountToken":
        return _read_token(source, mode)
    if chosen == "clusterTrustBundle":
        return _read_trust(source, mode)
    return read_object(source, "ConfigMap" if chosen == "configMap" else "Secret", "name", mode)


def _read_token(reader: Reader, mode: int) -> TokenFile:
    expiration = reader.at("expirationSeconds").number(600, 2**32)
    audience = reader.at("audience").text("")
    return TokenFile(_path(reader.at("path")), audience, TOKEN_LIFE if expiration is None else expiration, mode)


def _read_trust(reader: Reader, mode: int) -> TrustFile:
    chosen = reader.only_one(("name", "signerName"))
    path, optional, selector = _path(reader.at("path")), reader.at("optional").flag(), reader.at("labelSelector")
    named = reader.at(chosen)
    if chosen == "name":
        if selector.given:
            raise selector.invalid("must not be given together with name")
        return TrustFile(path, TRUST_BUNDLE.check(named.text(), named.path), mode=mode, optional=optional)
    signer = SIGNER.check(named.text(), named.path)
    found = read_selector(selector) if selector.given else None
    return TrustFile(path, signer=signer, selector=found, mode=mode, optional=optional)


def _read_key(reader: Reader) -> KeyItem:
    key = KEY.check(reader.at("key").text(), f"{reader.path}.key")
    return KeyItem(key, _path(reader.at("path")), _mode(reader.at("mode")))


def _read_field_item(reader: Reader) -> FieldItem:
    path, mode = _path(reader.at("path")), _mode(reader.at("mode"))
    if reader.only_one(("fieldRef", "resourceFieldRef")) == "fieldRef":
        allowed = (*METADATA_FIELDS, "metadata.labels", "metadata.annotations")
        return FieldItem(path, read_field(reader.at("fieldRef"), allowed), mode)
    reader.at("resourceFieldRef").at("containerName").text()
    return FieldItem(path, read_resource(reader.at("resourceFieldRef")), mode)


def _paths(source: Files) -> list[str]:
    if isinstance(source, TokenFile | TrustFile):
        return [source.path]
    return [item.path for item in source.items]


def _path(reader: Reader) -> str:
    """The path of a file below its volume, as short as it can be written."""
    path = reader.text()
    parts = path.split("/")
    if path.startswith("/"):
        raise reader.invalid(f"{path!r} must be a relative path")
    if ".." in parts or path.startswith(".."):
        raise reader.invalid(f"{path!r} must not climb with '..' nor begin with it")
    if len(path.encode()) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_NAME for part in parts):
        raise reader.invalid(f"is longer than {_LONGEST_PATH} bytes, or a part of it than {_LONGEST_NAME}")
    if posixpath.normpath(path) == ".":
        raise reader.invalid(f"{path!r} must name a file")
    return posixpath.normpath(path)


def _mode(reader: Reader) -> int | None:
    """Permission bits; in JSON and YAML 1.2 they are decimal, which the message reminds of."""
    try:
        return reader.number(0, 0o777)
    except Invalid as error:
        raise reader.invalid(f"{error.problem}: permission bits, 0 to 0777 (511 in decimal)") from None
