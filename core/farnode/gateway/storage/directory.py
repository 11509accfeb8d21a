"""The directory of a claim on the disk: made, given its quota, removed. Blocking calls belong into a thread."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from farnode.errors import FarnodeError

QUOTA_TIMEOUT = 60.0
"""Seconds; a file system that takes longer is not well."""
WORDS = 500
"""Characters of what a command said that are passed on."""


class StorageError(FarnodeError):
    """A claim is not ready now; it may be later."""


def make(path: Path) -> bool:
    """Make it (mode 0700) with what is above it; False when it was there. OSError, StorageError in words."""
    for parent in reversed(path.parents):
        with suppress(FileExistsError):
            parent.mkdir(0o700)
    try:
        path.mkdir(0o700)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise StorageError(f"{path} is there and is no directory of this site's account") from None
        return False
    return True


async def set_quota(argv: Sequence[str]) -> None:
    """Run the site's command, of which nothing is left then. StorageError with its words when it fails."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that a wrapper's children can be killed with it
        )
    except OSError as error:
        raise StorageError(f"the site's quota command cannot be run: {error}") from error
    try:
        said, _ = await asyncio.wait_for(process.communicate(), QUOTA_TIMEOUT)
    except TimeoutError:
        raise StorageError(f"the site's quota command did not end within {QUOTA_TIMEOUT:g} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        words = said.decode(errors="replace").strip()[-WORDS:]
        raise StorageError(f"the site's quota command failed ({process.returncode}): {words}")


def remove(path: Path) -> None:
    """Out of sight at once, and gone on return; repeating it goes on where it was. Links in it are not followed.
    OSError when something of it stays."""
    grave = grave_of(path)
    _clear(grave)
    try:
        path.rename(grave)
    except FileNotFoundError:
        return
    _clear(grave)


def grave_of(path: Path) -> Path:
    """Where it is while it is being removed; no claim's directory begins with a dot."""
    return path.with_name(f".removed-{sha256(path.name.encode()).hexdigest()[:32]}")


def _clear(grave: Path) -> None:
    """By the system's own tools: no depth is too deep for them, nor is a directory that its owner closed."""
    if not os.path.lexists(grave):
        return
    if not grave.is_symlink():
        subprocess.run(["chmod", "-R", "u+rwX", "--", grave], capture_output=True, check=False)
    done = subprocess.run(["rm", "-rf", "--", grave], capture_output=True, text=True, check=False)
    if os.path.lexists(grave):
        raise OSError(f"{grave} cannot be removed: {done.stderr.strip()[-WORDS:]}")
