"""Packs the runner into `runner.pyz`: the one file a compute node needs besides a Python.

It holds the sources of `farnode.wire` and `farnode.runner` as this gateway has them installed, an empty `farnode`
package (the real one is the public face and needs more than the standard library) and a `__main__` that calls the
runner's. The archive is the same byte for byte whenever the sources are, and not compressed: a node reads it once and
then a part of it for each container it sets up.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable

PACKAGES = ("wire", "runner")
EPOCH = (1980, 1, 1, 0, 0, 0)
MAIN = b"import sys\n\nfrom farnode.runner.__main__ import main\n\nsys.exit(main(sys.argv))\n"


def pack() -> bytes:
    """The archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in sorted(_contents()):
            file.writestr(zipfile.ZipInfo(name, EPOCH), data)
    return buffer.getvalue()


def _contents() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", MAIN
    yield "farnode/__init__.py", b""
    for package in PACKAGES:
        yield from _sources(resources.files(f"farnode.{package}"), f"farnode/{package}")


def _sources(directory: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in directory.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _sources(entry, f"{path}/{entry.name}")
        elif entry.name.endswith(".py"):
            yield f"{path}/{entry.name}", entry.read_bytes()
