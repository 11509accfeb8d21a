"""The name of the user a container's programs run as: where an image knows none of its number, one is added."""

from __future__ import annotations

import contextlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .root import Root


def add(root: Root, name: str, uid: int, gid: int, home: str) -> None:
    """As far as the image lets itself be written to: a program is started without a name for its user, too."""
    with contextlib.suppress(OSError, ValueError):
        root.directory("/etc")
        _append(root, "/etc/passwd", uid, f"{name}:x:{uid}:{gid}::{home}:/bin/sh\n")
        _append(root, "/etc/group", gid, f"{name}:x:{gid}:\n")


def _append(root: Root, path: str, number: int, line: str) -> None:
    with open(root.path + root.resolve(path), "ab+", buffering=0) as file:
        file.seek(0)
        text = file.read()
        if not any(known.split(b":")[2:3] == [b"%d" % number] for known in text.splitlines()):
            file.write((b"\n" if text and not text.endswith(b"\n") else b"") + line.encode())
