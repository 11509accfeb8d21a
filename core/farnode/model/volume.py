"""Volumes of a pod and where containers mount them.

Source: Kubernetes, "Volumes", and the validation of the API server: paths inside a volume are relative and never climb
with `..`, modes are 0 to 0777, every mount names a volume of the pod.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from farnode.errors import Invalid
from farnode.model.env import METADATA_FIELDS, FieldSource, ObjectKind, read_field, read_reference
from farnode.model.names import KEY, LABEL
from farnode.model.reader import Reader

DEFAULT_MODE = 0o644
SOURCES = ("emptyDir", "configMap", "secret", "downwardAPI")


@dataclass(frozen=True, slots=True)
class EmptyDir:
    """`medium` "Memory" asks for memory; `size_limit` in bytes, None without limit."""

    medium: str = ""
    size_limit: int | None = None


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
    source: FieldSource
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class FieldFiles:
    """Fields of the pod as files (downwardAPI)."""

    items: tuple[FieldItem, ...]
    mode: int = DEFAULT_MODE


@dataclass(frozen=True, slots=True)
class Volume:
    name: str
    source: EmptyDir | ObjectFiles | FieldFiles


@dataclass(frozen=True, slots=True)
class Mount:
    """`path` is absolute; `sub_path` relative to the volume, "" for its root."""

    volume: str
    path: str
    read_only: bool = False
    sub_path: str = ""


def read_volume(reader: Reader) -> Volume:
    name = LABEL.check(reader.at("name").text(), f"{reader.path}.name")
    given = [source for source in SOURCES if reader.at(source).given]
    if len(given) != 1:
        raise reader.invalid(f"must have exactly one of {', '.join(SOURCES)}")
    source = reader.at(given[0])
    if given[0] == "emptyDir":
        return Volume(name, _read_empty(source))
    if given[0] == "downwardAPI":
        return Volume(name, _read_fields(source))
    return Volume(name, _read_object(source, "ConfigMap" if given[0] == "configMap" else "Secret"))


def read_mount(reader: Reader, volumes: Collection[str]) -> Mount:
    name, path = reader.at("name"), reader.at("mountPath")
    if name.text() not in volumes:
        raise name.invalid(f"{name.text()!r} is not a volume of this pod; they are {', '.join(volumes) or '(none)'}")
    if ":" in path.text():
        raise path.invalid("must not contain ':'")
    absolute = "/" + path.text().lstrip("/")
    if ".." in absolute.split("/"):
        raise path.invalid("must not contain '..'")
    return Mount(name.text(), absolute, reader.at("readOnly").flag(), _relative(reader.at("subPath"), ""))


def _read_empty(reader: Reader) -> EmptyDir:
    medium = reader.at("medium").choice(("", "Memory"), "")
    limit = reader.at("sizeLimit")
    if not limit.given:
        return EmptyDir(medium)
    if limit.quantity().nanos < 0:
        raise limit.invalid("must not be negative")
    return EmptyDir(medium, limit.quantity().whole or None)


def _read_object(reader: Reader, kind: ObjectKind) -> ObjectFiles:
    items = tuple(
        KeyItem(
            KEY.check(item.at("key").text(), f"{item.path}.key"), _relative(item.at("path")), _mode(item.at("mode"))
        )
        for item in reader.at("items").items()
    )
    name = read_reference(reader, "name" if kind == "ConfigMap" else "secretName")
    _check_unique([item.path for item in items], reader.at("items"))
    return ObjectFiles(kind, name, items, _default_mode(reader), reader.at("optional").flag())


def _read_fields(reader: Reader) -> FieldFiles:
    allowed = (*METADATA_FIELDS, "metadata.labels", "metadata.annotations")
    items = tuple(
        FieldItem(_relative(item.at("path")), read_field(item.at("fieldRef"), allowed), _mode(item.at("mode")))
        for item in reader.at("items").items()
    )
    _check_unique([item.path for item in items], reader.at("items"))
    return FieldFiles(items, _default_mode(reader))


def _relative(reader: Reader, default: str | None = None) -> str:
    path = reader.text(default)
    if path.startswith("/"):
        raise reader.invalid(f"{path!r} must be a relative path")
    if any(part.startswith("..") for part in path.split("/")):
        raise reader.invalid(f"{path!r} must not climb with '..'")
    return path


def _mode(reader: Reader) -> int | None:
    """Permission bits; in JSON and YAML 1.2 they are decimal, which the message reminds of."""
    try:
        return reader.number(0, 0o777)
    except Invalid as error:
        raise reader.invalid(f"{error.problem}: permission bits, 0 to 0777 (511 in decimal)") from None


def _default_mode(reader: Reader) -> int:
    mode = _mode(reader.at("defaultMode"))
    return DEFAULT_MODE if mode is None else mode


def _check_unique(paths: list[str], reader: Reader) -> None:
    for path in paths:
        if paths.count(path) > 1:
            raise reader.invalid(f"two items have the path {path!r}")
