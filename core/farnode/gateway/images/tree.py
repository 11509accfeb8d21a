"""Directories that others have filled, in whatever modes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def remove(path: Path) -> None:
    """A file or a directory, if it is there; what its modes forbid is permitted first."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    path.chmod(0o700)
    for directory, names, _ in os.walk(path):
        for name in names:
            if not (below := Path(directory, name)).is_symlink():
                below.chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)


def size(path: Path) -> int:
    """Bytes of a file, or of all below a directory."""
    return path.lstat().st_size + sum(file.lstat().st_size for file in path.rglob("*"))
