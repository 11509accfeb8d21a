"""Reads what a SIF file says about itself: its OCI configuration, or what apptainer noted when it made it.

https://github.com/apptainer/sif: a header of 128 bytes, then descriptors of fixed size, little-endian.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

_HEADER = struct.Struct("<32s10s3s3s16sqqqqqqqq")
_DESCRIPTOR = struct.Struct("<i?IIIqqqqqqq128s384s")
_MAGIC = b"SIF_MAGIC\0"
_MOST_DESCRIPTORS = 1024
_LARGEST = 1024 * 1024
"""Bytes of an object that is read; environments and entry points are some kilobytes."""
_CONFIG, _NOTED = b"oci-config.json", b"inspect-metadata.json"


def config(path: Path) -> Mapping[str, Any] | None:
    """The `config` part of the image's JSON; None where it was not made of an OCI image, or long ago."""
    return _named(path, _CONFIG)


def noted(path: Path) -> Mapping[str, Any]:
    """The attributes `apptainer inspect` shows (`runscript`, `environment`)."""
    content = _named(path, _NOTED) or {}
    data = content.get("data")
    found = data.get("attributes") if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _named(path: Path, name: bytes) -> Mapping[str, Any] | None:
    with path.open("rb") as file:
        for found, offset, size in _objects(file):
            if found == name and 0 < size <= _LARGEST:
                file.seek(offset)
                return _json(file.read(size))
    return None


def _objects(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset and size of each object in use; none where this is no SIF file."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return
    fields = _HEADER.unpack(header)
    magic, total, at = fields[1], fields[8], fields[9]
    if magic != _MAGIC or not 0 <= total <= _MOST_DESCRIPTORS or at < 0:
        return
    file.seek(at)
    table = file.read(total * _DESCRIPTOR.size)
    for start in range(0, len(table) - _DESCRIPTOR.size + 1, _DESCRIPTOR.size):
        descriptor = _DESCRIPTOR.unpack_from(table, start)
        used, offset, size, name = descriptor[1], descriptor[5], descriptor[6], descriptor[12]
        if used and offset >= 0:
            yield name.rstrip(b"\0"), offset, size


def _json(data: bytes) -> Mapping[str, Any] | None:
    try:
        content = json.loads(data)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
