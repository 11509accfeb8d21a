"""Makes of an image's layers what compute nodes run: a SIF file or a directory.

A directory needs nothing but this Python. A SIF file is made by apptainer, which compute nodes that run it have anyway.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from farnode.gateway.images import layout, tool
from farnode.gateway.images.errors import ImageError
from farnode.gateway.images.manifest import Manifest
from farnode.gateway.images.tree import remove

Form = Literal["sif", "directory"]
_UNPACK = Path(__file__).with_name("unpack.py")


async def convert(source: Path, manifest: Manifest, form: Form, target: Path, limit: int) -> None:
    """`source` is an OCI layout, `limit` the bytes that `target` may have. ImageError with words why it cannot be."""
    if form == "sif":
        async with _scratch() as scratch:
            words = await tool.run(_sif(source, target), source.parent, {"APPTAINER_TMPDIR": scratch})
    else:
        files = [str(path) for path in layout.layers(source, manifest)]
        words = await tool.run([sys.executable, "-I", "-S", str(_UNPACK), str(target), str(limit), *files], source, {})
    if words:
        raise ImageError("ErrImagePull", f"the image cannot be converted at this site: {words}")


def _sif(source: Path, target: Path) -> list[str]:
    """`--disable-cache`: the result is kept by digest, and a second copy in the account's home would fill it. The
    source is named relative to the working directory: a `:` in a path would begin a tag."""
    if shutil.which("apptainer") is None:
        words = "this host has no apptainer, which makes SIF files; the site's setting `images.format: directory`"
        raise ImageError("ErrImagePull", f"{words} needs none, and images.prepared names those that are there already")
    return ["apptainer", "build", "--disable-cache", str(target), f"oci:{source.name}"]


@asynccontextmanager
async def _scratch() -> AsyncIterator[str]:
    """Where apptainer unpacks: on this host's own disk, and gone also when it was killed."""
    directory = tempfile.mkdtemp(prefix="farnode-image-", dir=os.environ.get("APPTAINER_TMPDIR"))
    try:
        yield directory
    finally:
        await asyncio.to_thread(remove, Path(directory))
