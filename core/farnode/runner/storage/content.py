"""Files that came with the order, in a volume whose content is replaced as a whole and in one step.

It is laid out as the kubelet's AtomicWriter does it, so that programs which watch such volumes find what they know:

    ..2026_11_22_20_00_00.k3v9x1_2/   one generation of the files
    ..data -> ..2026_…                the one that counts; exchanged by a rename
    name -> ..data/name               for each file or directory at the top

The generation before stays until the next one comes: a container that is being started may be about to mount a file of
it (subPath).
"""

from __future__ import annotations

import base64
import os
import tempfile
import time
from collections.abc import Sequence

from ...wire.messages import FileOrder
from .removal import remove
from .scratch import below, make_missing

DATA = "..data"
KEPT = 2
"""Generations."""


class Content:
    def __init__(self, root: str) -> None:
        """`root` is the volume's directory, empty and ours alone."""
        self._root = root
        self._files: Sequence[FileOrder] | None = None
        self._tops: set[str] = set()
        self._generations: list[str] = []

    def write(self, files: Sequence[FileOrder], at: float) -> None:
        """Replace what is there; the same content again changes nothing. OSError or ValueError leave it as it was."""
        if files == self._files:
            return
        before, tops = self._tops, {_top(file["path"]) for file in files}
        new = self._generation(files, at)
        link = f"{self._root}/{DATA}_tmp"
        remove(link)
        os.symlink(os.path.basename(new), link)
        os.rename(link, f"{self._root}/{DATA}")
        self._generations.append(new)
        self._show(tops, before)
        while len(self._generations) > KEPT:
            remove(self._generations.pop(0))
        self._files, self._tops = files, tops

    def _generation(self, files: Sequence[FileOrder], at: float) -> str:
        prefix = time.strftime("..%Y_%m_%d_%H_%M_%S.", time.gmtime(at))
        directory = tempfile.mkdtemp("", prefix, self._root)
        try:
            os.chmod(directory, 0o755)  # noqa: S103 the kubelet's; what it lies in is ours alone
            for file in {file["path"]: file for file in files}.values():
                _write(directory, file)
        except BaseException:
            remove(directory)
            raise
        return directory

    def _show(self, tops: set[str], before: set[str]) -> None:
        there = set(os.listdir(self._root))
        for name in sorted(tops - there):
            os.symlink(f"{DATA}/{name}", f"{self._root}/{name}")
        for name in before - tops:
            remove(f"{self._root}/{name}")


def _top(path: str) -> str:
    """The first component, which must not look like one of ours."""
    top = os.path.normpath(path).split("/")[0] if path else ""
    if top in ("", ".") or top.startswith(".."):
        raise ValueError(f"{path!r} cannot be the path of a file in a volume")
    return top


def _write(root: str, file: FileOrder) -> None:
    path = below(root, file["path"])
    make_missing(path.parent, 0o755)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as content:
        content.write(base64.b64decode(file["data"]))
        os.fchmod(descriptor, file.get("mode", 0o644) & 0o777)
