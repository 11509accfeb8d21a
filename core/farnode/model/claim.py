"""Claims of persistent volumes, and what a pod wants of a site's storage.

Source: Kubernetes, "Persistent Volumes" and "Ephemeral Volumes", and the validation of the API server.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from farnode.model.fields import check_fields
from farnode.model.names import SUBDOMAIN
from farnode.model.reader import Reader

ACCESS_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


@dataclass(frozen=True, slots=True)
class ClaimSpec:
    """`storage_class` None: the site's default; `size` in bytes. `field` is the path of the spec in the bundle."""

    storage_class: str | None
    size: int
    access_modes: tuple[str, ...]
    field: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class ClaimWanted:
    """A claim that a pod uses. `ephemeral`: made for this pod and gone with it. `field` is the path of the claim's spec
    in the bundle, for refusals: `<field>.storageClassName`."""

    name: str
    storage_class: str | None
    size: int
    access_modes: tuple[str, ...]
    ephemeral: bool
    field: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class HostPathWanted:
    """What a pod mounts of the site's nodes, as its `volume`. `field` is the place of `path` in the pod, such as
    `spec.volumes[2].hostPath.path`."""

    field: str
    volume: str
    path: str
    type: str


def ephemeral_name(pod: str, volume: str) -> str:
    """The name of the claim that is made for a pod's ephemeral volume ("Generic ephemeral volumes")."""
    return f"{pod}-{volume}"


def read_claim(reader: Reader) -> tuple[str, ClaimSpec]:
    """The name and the spec of a v1.PersistentVolumeClaim."""
    check_fields(reader.value, "claim", reader.path)
    metadata = reader.at("metadata")
    if _OLD_CLASS in metadata.at("annotations").object():
        raise metadata.at("annotations").invalid(f"{_OLD_CLASS} is out of use: give spec.storageClassName")
    name = SUBDOMAIN.check(metadata.at("name").text(), metadata.at("name").path)
    return name, read_claim_spec(reader.at("spec"))


def read_claim_spec(reader: Reader) -> ClaimSpec:
    reader.at("volumeMode").choice(("Filesystem",), "Filesystem")
    storage = Reader(reader.at("resources").at("requests").object().get("storage"), _storage_path(reader))
    if not storage.given:
        raise storage.invalid("is required: how much is wanted, such as 10Gi")
    if storage.quantity().nanos <= 0:
        raise storage.invalid(f"{storage.quantity()} must be more than 0")
    return ClaimSpec(
        _read_class(reader.at("storageClassName")), storage.quantity().whole, _read_modes(reader), reader.path
    )


def _storage_path(reader: Reader) -> str:
    return f"{reader.path}.resources.requests[storage]"


def _read_class(reader: Reader) -> str | None:
    if reader.value == "":
        raise reader.invalid(
            "is empty, which asks for a volume made by hand; leave it out for the site's default class"
        )
    return SUBDOMAIN.check(reader.text(), reader.path) if reader.given else None


def _read_modes(reader: Reader) -> tuple[str, ...]:
    modes = reader.at("accessModes")
    if not modes.items():
        raise modes.invalid(f"is required: {', '.join(ACCESS_MODES)}")
    found = tuple(item.choice(ACCESS_MODES, "") for item in modes.items())
    if "ReadWriteOncePod" in found and len(set(found)) > 1:
        raise modes.invalid("must not have ReadWriteOncePod together with other modes")
    return found
