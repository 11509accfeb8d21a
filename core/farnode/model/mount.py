"""Where a container mounts the volumes of its pod.

Source: Kubernetes, "Volumes" (using subPath, read-only mounts), and the validation of the API server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from farnode.errors import Invalid
from farnode.model.reader import Reader
from farnode.model.volume import Claim, EphemeralClaim, HostPath, Volume

_SITES = (HostPath, Claim, EphemeralClaim)
"""Volumes inside which the site itself may have mounted something."""


@dataclass(frozen=True, slots=True)
class Mount:
    """`path` is absolute; `sub_path` relative to the volume, "" for its root. `sub_path_expr` may hold `$(VAR)` of the
    container's variables; at most one of the two is given."""

    volume: str
    path: str
    read_only: bool = False
    sub_path: str = ""
    sub_path_expr: str = ""


def read_mounts(reader: Reader, volumes: Mapping[str, Volume]) -> tuple[Mount, ...]:
    mounts: dict[str, Mount] = {}
    for item in reader.items():
        mount = _read_mount(item, volumes)
        if mounts.setdefault(mount.path, mount) is not mount:
            raise Invalid(f"{item.path}.mountPath", f"{mount.path!r} is already the path of another mount")
    return tuple(mounts.values())


def _read_mount(reader: Reader, volumes: Mapping[str, Volume]) -> Mount:
    name, path, read_only = reader.at("name"), reader.at("mountPath"), reader.at("readOnly").flag()
    if name.text() not in volumes:
        raise name.invalid(f"{name.text()!r} is not a volume of this pod; they are {', '.join(volumes) or '(none)'}")
    if ":" in path.text():
        raise path.invalid("must not contain ':'")
    absolute = "/" + path.text().lstrip("/")
    if ".." in absolute.split("/"):
        raise path.invalid("must not contain '..'")
    sub_path, sub_path_expr = _relative(reader.at("subPath")), _relative(reader.at("subPathExpr"))
    if sub_path and sub_path_expr:
        raise reader.at("subPathExpr").invalid("must not be given together with subPath")
    _check_propagation(reader.at("mountPropagation"))
    _check_recursive(reader.at("recursiveReadOnly"), volumes[name.text()], read_only)
    return Mount(name.text(), absolute, read_only, sub_path, sub_path_expr)


def _check_propagation(reader: Reader) -> None:
    if reader.text("None") == "Bidirectional":
        raise reader.invalid("Bidirectional is not possible for an ordinary user; leave it out")
    reader.choice(("None", "HostToContainer"), "None")


def _check_recursive(reader: Reader, volume: Volume, read_only: bool) -> None:
    """Nothing is mounted inside the volumes made for a pod; what a site has mounted inside its own cannot be vouched
    for."""
    if reader.choice(("Disabled", "IfPossible", "Enabled"), "Disabled") == "Disabled":
        return
    if not read_only:
        raise reader.invalid("needs readOnly: true")
    if reader.text() == "Enabled" and isinstance(volume.source, _SITES):
        raise reader.invalid("cannot be promised for a directory of the site; use IfPossible")


def _relative(reader: Reader) -> str:
    path = reader.text("")
    if path.startswith("/"):
        raise reader.invalid(f"{path!r} must be a relative path")
    if ".." in path.split("/"):
        raise reader.invalid(f"{path!r} must not climb with '..'")
    return path
