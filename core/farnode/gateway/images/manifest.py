"""An image's manifest: what it is made of. Pure; everything in it was written by a stranger.

https://github.com/opencontainers/image-spec/blob/main/manifest.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from farnode.gateway.images.errors import ImageError
from farnode.gateway.images.reference import DIGEST

_LAYERS = {
    "application/vnd.oci.image.layer.v1.tar": "tar",
    "application/vnd.oci.image.layer.v1.tar+gzip": "tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd": "tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar": "tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "tar+zstd",
}
_MOST_LAYERS = 1024
"""Docker makes at most 127."""


@dataclass(frozen=True, slots=True)
class Blob:
    """`size` in bytes; `kind` of a layer: tar, tar+gzip or tar+zstd."""

    digest: str
    size: int
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    digest: str
    config: Blob
    layers: tuple[Blob, ...]

    @property
    def size(self) -> int:
        """Bytes of its blobs, which is what the kubelet calls an image's size."""
        return self.config.size + sum(layer.size for layer in self.layers)


def read(name: str, digest: str, content: Mapping[str, Any]) -> Manifest:
    """`name` is for words: ImageError says what makes it no container image."""
    if content.get("schemaVersion") == 1:
        words = "its manifest is of Docker's schema 1, given up everywhere; push it again with a tool of today"
        raise ImageError("ErrImagePull", f"{name}: {words}")
    try:
        layers = tuple(_layer(name, entry) for entry in content.get("layers") or ())
        config = _blob(content["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise ImageError("ErrImagePull", f"{name} is no container image: its manifest lacks {error}") from error
    if len(layers) > _MOST_LAYERS:
        raise ImageError("ErrImagePull", f"{name} has {len(layers)} layers; at most {_MOST_LAYERS} are taken")
    return Manifest(digest, config, layers)


def _layer(name: str, entry: Mapping[str, Any]) -> Blob:
    kind = _LAYERS.get(entry["mediaType"])
    if kind is None:
        raise ImageError("ErrImagePull", f"{name} is no container image: it has a layer of type {entry['mediaType']}")
    return _blob(entry, kind)


def _blob(entry: Mapping[str, Any], kind: str = "") -> Blob:
    digest, size = entry["digest"], entry["size"]
    if not DIGEST.fullmatch(digest) or not isinstance(size, int) or size < 0:
        raise ValueError(f"a digest of 64 hex digits and a size ({digest!r}, {size!r})")
    return Blob(digest, size, kind)
