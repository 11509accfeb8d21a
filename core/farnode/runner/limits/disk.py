"""How much lies in directories.

Measured as the kubelet does: blocks, not lengths, a file with two names once, nothing that is mounted there. What was
removed while a process still holds it open is not seen.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from ..clock import Clock

FRESH, PATIENCE = 10.0, 1.0
SHARE = 0.02
BLOCK = 512
"""Bytes of what `st_blocks` counts, whatever the file system."""


def measured(path: str) -> int:
    """Bytes below a directory, without its own; 0 where there is none. What vanishes meanwhile is left out."""
    try:
        device = os.lstat(path).st_dev
    except OSError:
        return 0
    total, left = 0, [path]
    linked: set[int] = set()
    while left:
        try:
            entries = os.scandir(left.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                    is_directory = entry.is_dir(follow_symlinks=False)
                except OSError:
                    continue
                if status.st_dev != device or status.st_ino in linked:
                    continue
                if status.st_nlink > 1 and not is_directory:
                    linked.add(status.st_ino)
                total += status.st_blocks * BLOCK
                if is_directory:
                    left.append(entry.path)
    return total


class Sizes:
    """What sets of directories hold, measured in the background: again after `FRESH` seconds, but so that no more than
    a `SHARE` of the time goes into it. Who asks waits for `PATIENCE` seconds at most."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[str, ...], int] = {}
        self._not_before = 0.0
        self._measuring: asyncio.Task[None] | None = None

    async def now(self, wanted: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
        """Of those of which something is known yet."""
        if self._measuring is None:
            due = self._clock.time() >= self._not_before
            targets = [one for one in wanted if due or one not in self._known]
            self._known = {one: size for one, size in self._known.items() if one in wanted}
            if targets:
                self._measuring = asyncio.get_running_loop().create_task(self._measure(targets))
        if self._measuring is not None:
            await asyncio.wait({self._measuring}, timeout=PATIENCE)
        return {one: self._known[one] for one in wanted if one in self._known}

    async def _measure(self, targets: Sequence[tuple[str, ...]]) -> None:
        begun = self._clock.time()
        try:
            self._known.update(await asyncio.to_thread(lambda: {one: sum(map(measured, one)) for one in targets}))
        finally:
            took = max(0.0, self._clock.time() - begun)
            self._not_before = self._clock.time() + max(FRESH, took / SHARE)
            self._measuring = None
