"""The volumes of an attempt: empty directories, and files that came with the order."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..wire.messages import FileOrder, MountOrder, VolumeOrder
from .runtime import Mount
from .scratch import AttemptDirectories, below


def make(volumes: Sequence[VolumeOrder], directories: AttemptDirectories) -> dict[str, str]:
    """Their directories by name. Raises OSError or ValueError with words for the pod's author."""
    made = {}
    for volume in volumes:
        kind = volume.get("kind", "empty")
        if kind not in ("empty", "files"):
            raise ValueError(f"volume {volume['name']!r} is of kind {kind!r}: this runner knows empty and files")
        path = made[volume["name"]] = directories.volume(volume["name"], volume.get("medium") == "Memory")
        for file in volume.get("files", ()):
            _write(path, file)
    return made


def mounts(orders: Sequence[MountOrder], volumes: Mapping[str, str]) -> list[Mount]:
    found = []
    for order in orders:
        if order["volume"] not in volumes:
            raise ValueError(f"the mount at {order['path']} names volume {order['volume']!r}, which the pod lacks")
        source = volumes[order["volume"]]
        if order.get("sub_path"):
            inner = Path(os.path.realpath(below(source, order["sub_path"])))
            if not inner.is_relative_to(os.path.realpath(source)):  # by a symbolic link that a container made
                raise ValueError(f"subPath {order['sub_path']!r} of volume {order['volume']!r} leads out of the volume")
            if not inner.exists():
                inner.mkdir(0o700, parents=True)
            source = str(inner)
        found.append(Mount(source, order["path"], order.get("read_only", False)))
    return found


def _write(root: str, file: FileOrder) -> None:
    path = below(root, file["path"])
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as content:
        content.write(base64.b64decode(file["data"]))
        os.fchmod(descriptor, file.get("mode", 0o644) & 0o777)
