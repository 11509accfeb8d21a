"""What a name is now: the manifest for the site's platform, and its configuration.

Clients for Python found when this was written are synchronous (oras, dxf), or gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from farnode.gateway.images import platforms
from farnode.gateway.images.errors import ImageError
from farnode.gateway.images.manifest import Manifest, read
from farnode.gateway.images.reference import Reference
from farnode.gateway.images.session import Session
from farnode.gateway.images.words import quote


@dataclass(frozen=True, slots=True)
class Resolved:
    """`top` is the digest that the name stands for: that of an index, or the manifest's own."""

    top: str
    manifest: Manifest
    content: Mapping[str, Any]
    """The image's JSON; its part `config` says how to run it."""


async def resolve(session: Session, reference: Reference, platform: str) -> Resolved:
    """ImageError (ErrImagePull) when there is no such image, or it is not for this caller or platform."""
    top, content = await session.json("manifests", reference.version)
    digest = top
    if isinstance(content.get("manifests"), list):
        digest, content = await session.json("manifests", _choose(reference, content["manifests"], platform))
    manifest = read(reference.name, digest, content)
    _, image = await session.json("blobs", manifest.config.digest)
    if not platforms.fits(image, platform):
        raise _missing(reference, platform, f"it is for {platforms.name(image)}")
    return Resolved(top, manifest, image)


def _choose(reference: Reference, manifests: list[Any], platform: str) -> str:
    entries = [entry for entry in manifests if isinstance(entry, dict) and isinstance(entry.get("digest"), str)]
    found = platforms.choose(entries, platform)
    if found is None:
        raise _missing(reference, platform, f"the index has {platforms.names(entries)}")
    return str(found["digest"])


def _missing(reference: Reference, platform: str, offered: str) -> ImageError:
    words = f"no match for platform in manifest: {platform}; {offered}"
    return ImageError("ErrImagePull", f"failed to resolve image {quote(reference.name)}: {words}")
