"""Environment variables of a container and where their values come from.

Source: Kubernetes, "Define Environment Variables", "Expose Pod Information to Containers Through Environment
Variables". Names follow the rule of Kubernetes since 1.34: printable ASCII other than `=`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from farnode.errors import Invalid
from farnode.model.names import ENV_NAME, KEY, SUBDOMAIN, check_qualified
from farnode.model.quantity import Quantity
from farnode.model.reader import Reader
from farnode.model.resources import CPU, NATIVE

ObjectKind = Literal["ConfigMap", "Secret"]

METADATA_FIELDS = ("metadata.name", "metadata.namespace", "metadata.uid")
ENV_FIELDS = (
    *METADATA_FIELDS,
    *("spec.nodeName", "spec.serviceAccountName"),
    *("status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"),
)
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_DIVISORS = {
    CPU: ("0", "1", "1m"),
    "": ("0", "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"),
}


@dataclass(frozen=True, slots=True)
class KeySource:
    """One key of a ConfigMap or Secret. `optional`: without it the variable is simply not set."""

    kind: ObjectKind
    name: str
    key: str
    optional: bool


@dataclass(frozen=True, slots=True)
class FieldSource:
    """A field of the pod; `key` names the one label or annotation meant, where `path` is all of them."""

    path: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class ResourceSource:
    """`side` is "limits" or "requests"; the value is divided by `divisor` and rounded up. `container` "": its own."""

    side: str
    resource: str
    divisor: Quantity
    container: str = ""


@dataclass(frozen=True, slots=True)
class EnvVar:
    """`value` may hold `$(VAR)`; it counts only without a `source`."""

    name: str
    value: str = ""
    source: KeySource | FieldSource | ResourceSource | None = None


@dataclass(frozen=True, slots=True)
class EnvFrom:
    """Every key of a ConfigMap or Secret as a variable, each name with `prefix` before it."""

    kind: ObjectKind
    name: str
    prefix: str
    optional: bool


def read_env(reader: Reader) -> EnvVar:
    name = ENV_NAME.check(reader.at("name").text(), f"{reader.path}.name")
    value, source = reader.at("value").text(""), reader.at("valueFrom")
    if not source.given:
        return EnvVar(name, value)
    if value:
        raise source.invalid("may not be given together with value")
    return EnvVar(name, source=_read_source(source))


def read_env_from(reader: Reader) -> EnvFrom:
    chosen = reader.only_one(("configMapRef", "secretRef"))
    prefix = reader.at("prefix").text("")
    if prefix:
        ENV_NAME.check(prefix, f"{reader.path}.prefix")
    kind: ObjectKind = "ConfigMap" if chosen == "configMapRef" else "Secret"
    reference = reader.at(chosen)
    return EnvFrom(kind, read_reference(reference), prefix, reference.at("optional").flag())


def read_reference(reader: Reader, key: str = "name") -> str:
    """The name of a ConfigMap or Secret in the pod's namespace."""
    name = reader.at(key)
    return SUBDOMAIN.check(name.text(), name.path)


def read_field(reader: Reader, allowed: tuple[str, ...]) -> FieldSource:
    """A `fieldRef`; `allowed` are the fields that can be given in this place, beside single labels and annotations."""
    if reader.at("apiVersion").text("v1") != "v1":
        raise reader.at("apiVersion").invalid("must be v1")
    field = reader.at("fieldPath")
    path = field.text()
    if match := _SUBSCRIPT.fullmatch(path):
        return FieldSource(f"metadata.{match[1]}", check_qualified(match[2], field.path))
    if path not in allowed:
        subscripts = "metadata.labels['KEY'], metadata.annotations['KEY']"
        raise field.invalid(f"{path!r} is not one of {', '.join(allowed)}, {subscripts}")
    return FieldSource(path)


def _read_source(reader: Reader) -> KeySource | FieldSource | ResourceSource:
    chosen = reader.only_one(("configMapKeyRef", "secretKeyRef", "fieldRef", "resourceFieldRef"))
    source = reader.at(chosen)
    if chosen == "fieldRef":
        return read_field(source, ENV_FIELDS)
    if chosen == "resourceFieldRef":
        return read_resource(source)
    key = KEY.check(source.at("key").text(), f"{source.path}.key")
    kind: ObjectKind = "ConfigMap" if chosen == "configMapKeyRef" else "Secret"
    return KeySource(kind, read_reference(source), key, source.at("optional").flag())


def read_resource(reader: Reader) -> ResourceSource:
    """A `resourceFieldRef`."""
    side, _, resource = reader.at("resource").text().partition(".")
    if side not in ("limits", "requests") or resource not in NATIVE:
        accepted = ", ".join(f"limits.{name}, requests.{name}" for name in NATIVE)
        raise reader.at("resource").invalid(f"must be one of {accepted}")
    divisor = reader.at("divisor").quantity() if reader.at("divisor").given else Quantity.parse("1")
    divisors = _DIVISORS.get(resource, _DIVISORS[""])
    if str(divisor) not in divisors:
        raise Invalid(f"{reader.path}.divisor", f"{divisor} is not one of {', '.join(divisors)}")
    return ResourceSource(
        side, resource, divisor if divisor.nanos else Quantity.parse("1"), reader.at("containerName").text("")
    )
