"""Volumes in `describe`: where each comes from. Pure; contents are never in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farnode.cli.facts import Fact, indented, lay_out

Json = Mapping[str, Any]
_TYPES = {
    "emptyDir": "EmptyDir (lives as long as the attempt)",
    "hostPath": "HostPath (the site's own)",
    "configMap": "ConfigMap",
    "secret": "Secret",
    "downwardAPI": "DownwardAPI",
    "projected": "Projected",
    "persistentVolumeClaim": "PersistentVolumeClaim",
    "ephemeral": "EphemeralVolume (a claim that goes with the pod)",
    "image": "Image",
}
_FIELDS = (
    ("Name", "name"),
    ("SecretName", "secretName"),
    ("ClaimName", "claimName"),
    ("Reference", "reference"),
    ("Path", "path"),
    ("HostPathType", "type"),
    ("Medium", "medium"),
    ("SizeLimit", "sizeLimit"),
    ("Optional", "optional"),
)


def described(volumes: list[Json]) -> list[str]:
    """Of v1.Volumes."""
    lines: list[str] = []
    for volume in volumes:
        lines += [f"{volume.get('name')}:", *indented(lay_out(_volume(volume)))]
    return lines


def _volume(volume: Json) -> list[Fact]:
    kind = next((key for key in volume if key != "name"), "emptyDir")
    source = volume.get(kind) or {}
    facts: list[Fact] = [("Type", _TYPES.get(kind, kind))]
    facts += [(title, str(source[key])) for title, key in _FIELDS if source.get(key) not in (None, "")]
    facts += [("Sources", [_source(one) for one in source.get("sources") or ()])]
    return facts


def _source(source: Json) -> str:
    kind = next(iter(source), "")
    details = source.get(kind) or {}
    name = details.get("name") or details.get("path") or ""
    return f"{_TYPES.get(kind, kind)} {name}".rstrip()
