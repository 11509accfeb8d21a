"""An image's blobs on disk, as an OCI image layout: what a registry gave, checked, for a tool to make an image of.

Fetched here and not by the tools, so that logins, certificates, redirects and limits are the same for all, and no
login ever leaves this process. https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from farnode.gateway.images.manifest import Blob, Manifest
from farnode.gateway.images.registry import Resolved
from farnode.gateway.images.session import Session

_AT_ONCE = 3
"""Layers of one image, as docker fetches them."""
_TRIES = 5
_PAUSE = 1.0
"""Seconds before a transfer that broke off goes on."""
_TYPE = "application/vnd.oci.image"


def layers(directory: Path, manifest: Manifest) -> list[Path]:
    """The files of its layers, the lowest first."""
    return [_path(directory, layer.digest) for layer in manifest.layers]


async def fetch(session: Session, found: Resolved, directory: Path) -> None:
    """Fill `directory`, which must not exist; ImageError or OSError when that fails."""
    (directory / "blobs/sha256").mkdir(parents=True)
    room = asyncio.Semaphore(_AT_ONCE)
    wanted = dict.fromkeys([found.manifest.config, *found.manifest.layers])
    try:
        async with asyncio.TaskGroup() as group:
            for blob in wanted:
                group.create_task(_limited(room, session, blob, _path(directory, blob.digest)))
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None
    await asyncio.to_thread(_describe, directory, found.manifest)


async def _limited(room: asyncio.Semaphore, session: Session, blob: Blob, path: Path) -> None:
    async with room:
        await _save(session, blob, path)


async def _save(session: Session, blob: Blob, path: Path) -> None:
    """A transfer that breaks off goes on from where it was."""
    for trial in range(_TRIES):
        try:
            await _transfer(session, blob, path)
            break
        except httpx.HTTPError as error:
            if trial == _TRIES - 1:
                words = f"the layer {blob.digest} breaks off again and again: {error or type(error).__name__}"
                raise session.problem(words) from error
            await asyncio.sleep(_PAUSE)
    if await asyncio.to_thread(_digest, path) != blob.digest:
        raise session.problem(f"the layer {blob.digest} came damaged")


async def _transfer(session: Session, blob: Blob, path: Path) -> None:
    with path.open("ab") as file:
        if file.tell() == blob.size:  # it broke off behind its last byte
            return
        async with session.blob(blob.digest, file.tell()) as response:
            if response.status_code == 200:
                file.truncate(0)
            async for chunk in response.aiter_raw():
                if file.tell() + len(chunk) > blob.size:
                    raise session.problem(f"the layer {blob.digest} is longer than the {blob.size} bytes announced")
                await asyncio.to_thread(file.write, chunk)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _describe(directory: Path, manifest: Manifest) -> None:
    """In OCI's own types, whatever the registry's were: not every tool reads Docker's in a layout."""
    config = _descriptor(manifest.config, "config.v1+json")
    content = {
        "schemaVersion": 2,
        "mediaType": f"{_TYPE}.manifest.v1+json",
        "config": config,
        "layers": [_descriptor(layer, f"layer.v1.{layer.kind}") for layer in manifest.layers],
    }
    data = json.dumps(content).encode()
    own = Blob(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
    _path(directory, own.digest).write_bytes(data)
    _write(directory / "index.json", {"schemaVersion": 2, "manifests": [_descriptor(own, "manifest.v1+json")]})
    _write(directory / "oci-layout", {"imageLayoutVersion": "1.0.0"})


def _descriptor(blob: Blob, kind: str) -> dict[str, Any]:
    return {"mediaType": f"{_TYPE}.{kind}", "digest": blob.digest, "size": blob.size}


def _path(directory: Path, digest: str) -> Path:
    return directory / "blobs/sha256" / digest.removeprefix("sha256:")


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content))
