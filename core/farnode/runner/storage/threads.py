"""Threads for what touches file systems, apart from those for all else.

A file server that does not answer holds the threads of those that ask it, for as long as it likes: who mounts paths of
the site waits for threads with his like alone.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, TypeVar

Result = TypeVar("Result")

LOCAL = ThreadPoolExecutor(4, "local")
"""For what lies on the node."""
REMOVAL = ThreadPoolExecutor(4, "removal")
"""For what is thrown away: it may be much, and no pod that begins waits for it."""
SITE = ThreadPoolExecutor(64, "site")
"""For paths of the site, so many at once."""


def run(threads: ThreadPoolExecutor, function: Callable[..., Result], *arguments: object) -> asyncio.Future[Result]:
    return asyncio.get_running_loop().run_in_executor(threads, function, *arguments)
