"""Removing what containers left on the node, whatever they made of it.

No link is followed, so nothing outside goes. A directory that its owner may not read or write is opened up first. There
is no recursion: a directory in a directory is moved up beside the first one, so that no depth is too deep.
"""

from __future__ import annotations

import contextlib
import itertools
import os


def remove(path: str) -> None:
    """Remove a file, a link or a directory with all that is in it; what cannot be removed is left."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError:
        _remove_directory(path)


def _remove_directory(path: str) -> None:
    aside = (f"{path}..{number}" for number in itertools.count())
    pending = [path]
    while pending:
        directory = pending.pop()
        with contextlib.suppress(OSError):
            open_up(directory)
            with os.scandir(directory) as scan:
                entries = list(scan)
            for entry in entries:
                with contextlib.suppress(OSError):
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.path)
                    elif not _removed_empty(entry.path):
                        open_up(entry.path)  # what is moved elsewhere must be writable itself
                        moved = next(aside)
                        os.rename(entry.path, moved)
                        pending.append(moved)
            os.rmdir(directory)


def _removed_empty(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except OSError:
        return False
    return True


def open_up(directory: str) -> None:
    """Let its owner do everything in it; OSError when it is a link or no directory."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", 0o700)
    finally:
        os.close(descriptor)
