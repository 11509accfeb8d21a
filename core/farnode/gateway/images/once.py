"""One at a time, among the tasks of this process and the gateways that share a spool."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakValueDictionary

_UNSUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
"""A file system without locks (Lustre without -o flock): two gateways may then make one image twice, each whole."""
_POLL = 1.0
"""Seconds between looks at a lock of another gateway; making an image takes tens of them."""


class Once:
    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def __call__(self, path: Path) -> AsyncIterator[None]:
        """Holds the lock file `path`, which stays: removing it would let two hold two files of one name."""
        lock = self._locks.setdefault(str(path), asyncio.Lock())
        async with lock:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                while not _taken(file):  # another host's lock raises no event here
                    await asyncio.sleep(_POLL)
                yield
            finally:
                os.close(file)


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _UNSUPPORTED
    return True
