"""Volumes of a pod.

Source: Kubernetes, "Volumes", and the validation of the API server.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from farnode.model.claim import ClaimSpec, ephemeral_name, read_claim_spec
from farnode.model.image import read_image
from farnode.model.names import LABEL, SUBDOMAIN
from farnode.model.projection import (
    FieldFiles,
    ObjectFiles,
    Projected,
    default_mode,
    read_fields,
    read_object,
    read_projected,
)
from farnode.model.reader import Reader

HOST_TYPES = ("", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice")


@dataclass(frozen=True, slots=True)
class EmptyDir:
    """`medium` "Memory" asks for memory; `size_limit` in bytes, None without limit."""

    medium: str = ""
    size_limit: int | None = None


@dataclass(frozen=True, slots=True)
class HostPath:
    """What the site has at `path` on its nodes; `type` says what it must be, "" unchecked."""

    path: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim by its name, in the pod's namespace."""

    name: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class EphemeralClaim:
    """A claim made for this pod alone."""

    spec: ClaimSpec


@dataclass(frozen=True, slots=True)
class ImageVolume:
    """The content of an image, read-only."""

    reference: str
    pull_policy: str


Source = EmptyDir | ObjectFiles | FieldFiles | Projected | HostPath | Claim | EphemeralClaim | ImageVolume


@dataclass(frozen=True, slots=True)
class Volume:
    name: str
    source: Source

    @property
    def read_only(self) -> bool:
        """Whether containers can never write to it: files made for a pod and images are always mounted read-only."""
        if isinstance(self.source, Claim):
            return self.source.read_only
        return not isinstance(self.source, EmptyDir | HostPath | EphemeralClaim)


def claim_name(volume: Volume, pod: str) -> str | None:
    """The claim behind a volume of the pod of that name; None where there is none."""
    if isinstance(volume.source, Claim):
        return volume.source.name
    return ephemeral_name(pod, volume.name) if isinstance(volume.source, EphemeralClaim) else None


def read_volumes(reader: Reader, pod: str) -> dict[str, Volume]:
    """The volumes of a pod by name, in order. A claim may not be the one that is made for an ephemeral volume of the
    same pod."""
    found: dict[str, Volume] = {}
    for item in reader.items():
        volume = read_volume(item)
        if volume.name in found:
            raise item.at("name").invalid(f"{volume.name!r} is already the name of another volume")
        if isinstance(volume.source, EphemeralClaim):
            SUBDOMAIN.check(ephemeral_name(pod, volume.name), f"{item.path}.name")
        found[volume.name] = volume
    made = {ephemeral_name(pod, one.name) for one in found.values() if isinstance(one.source, EphemeralClaim)}
    for item, volume in zip(reader.items(), found.values(), strict=True):
        if isinstance(volume.source, Claim) and volume.source.name in made:
            claim = item.at("persistentVolumeClaim").at("claimName")
            raise claim.invalid(f"{volume.source.name!r} is made for an ephemeral volume of this pod; mount that one")
    return found


def read_volume(reader: Reader) -> Volume:
    name = LABEL.check(reader.at("name").text(), f"{reader.path}.name")
    chosen = reader.only_one(tuple(_READERS))
    return Volume(name, _READERS[chosen](reader.at(chosen)))


def _read_empty(reader: Reader) -> EmptyDir:
    medium = reader.at("medium").choice(("", "Memory"), "")
    limit = reader.at("sizeLimit")
    if not limit.given:
        return EmptyDir(medium)
    if limit.quantity().nanos < 0:
        raise limit.invalid("must not be negative")
    return EmptyDir(medium, limit.quantity().whole or None)


def _read_host_path(reader: Reader) -> HostPath:
    path = reader.at("path")
    if not path.text().startswith("/"):
        raise path.invalid(f"{path.text()!r} must be an absolute path")
    if ".." in path.text().split("/"):
        raise path.invalid(f"{path.text()!r} must not contain '..'")
    return HostPath(posixpath.normpath("/" + path.text().lstrip("/")), reader.at("type").choice(HOST_TYPES, ""))


def _read_claim(reader: Reader) -> Claim:
    name = reader.at("claimName")
    return Claim(SUBDOMAIN.check(name.text(), name.path), reader.at("readOnly").flag())


def _read_ephemeral(reader: Reader) -> EphemeralClaim:
    template = reader.at("volumeClaimTemplate")
    if not template.given:
        raise template.invalid("is required")
    return EphemeralClaim(read_claim_spec(template.at("spec")))


_READERS: Mapping[str, Callable[[Reader], Source]] = {
    "emptyDir": _read_empty,
    "configMap": lambda reader: read_object(reader, "ConfigMap", "name", default_mode(reader)),
    "secret": lambda reader: read_object(reader, "Secret", "secretName", default_mode(reader)),
    "downwardAPI": lambda reader: read_fields(reader, default_mode(reader)),
    "projected": read_projected,
    "persistentVolumeClaim": _read_claim,
    "ephemeral": _read_ephemeral,
    "hostPath": _read_host_path,
    "image": lambda reader: ImageVolume(*read_image(reader, "reference", "pullPolicy")),
}
