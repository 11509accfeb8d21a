"""Paths of the site that a pod mounts: hostPath volumes, and the directories of claims.

Source of the types, their checks and their words: the kubelet's hostPath plugin. They are the site's own: they are
mounted, sometimes made, and never removed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from ...wire.messages import VolumeOrder
from .scratch import make_missing

CHECKS = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def locate(volume: VolumeOrder) -> str:
    """Where the volume's path really is, links followed, made where its type says so. OSError or ValueError in words.
    May wait for the file system it lies on."""
    path = volume["path"]
    real = os.path.realpath(path)
    _check_below(path, real, volume.get("below"))
    kind = volume.get("type", "")
    if kind.endswith("OrCreate"):
        kind = kind[: -len("OrCreate")]
        if not os.path.exists(real):
            _make(real, kind)
    if kind not in CHECKS and kind:
        raise ValueError(f"hostPath type {kind!r} of {path} is not known")
    _check_type(path, real, kind)
    return real


def _check_below(path: str, real: str, below: str | None) -> None:
    if below is not None and not Path(real).is_relative_to(os.path.realpath(below)):
        raise ValueError(f"{path} leads to {real}, out of {below}")


def _check_type(path: str, real: str, kind: str) -> None:
    try:
        mode = os.stat(real).st_mode
    except OSError as error:
        if kind:
            raise ValueError(f"hostPath type check failed: {path} is not {CHECKS[kind][1]}") from error
        raise ValueError(f"hostPath {path}: {error.strerror} on this node") from error
    if kind and not CHECKS[kind][0](mode):
        raise ValueError(f"hostPath type check failed: {path} is not {CHECKS[kind][1]}")


def _make(path: str, kind: str) -> None:
    """The mode is exact, whatever the runner's umask."""
    if kind == "Directory":
        make_missing(Path(path), 0o755)
    elif kind == "File":
        with contextlib.suppress(FileExistsError):  # another pod was faster
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.fchmod(descriptor, 0o644)
            os.close(descriptor)
