"""One more program in a running container whose end is its answer: what exec probes and hooks run.

It lives no longer than who waits for it, its container, or itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from typing import NamedTuple

from ..output import pipes
from ..pods.attempt import Attempt
from ..pods.instance import Instance
from ..processes.children import Child
from ..processes.leftovers import kill_trees
from .timeout import ended

LONGEST = 10 * 1024
"""Bytes of output that are kept, as the kubelet does; what follows is read and forgotten."""


class Answer(NamedTuple):
    exit_code: int
    output: bytes


async def run(attempt: Attempt, instance: Instance, argv: Sequence[str]) -> Answer:
    """Raises OSError or ValueError with words when it cannot be started."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    try:
        try:
            child = attempt.host.children.start(await instance.one_more(argv), (None, theirs, theirs))
        finally:
            os.close(theirs)
        return await _answer(instance, child, ours)
    finally:
        os.close(ours)


async def _answer(instance: Instance, child: Child, descriptor: int) -> Answer:
    instance.execs.add(child.pid)
    child.exited.add_done_callback(lambda _: instance.execs.discard(child.pid))
    output = bytearray()
    reading = asyncio.ensure_future(_read(descriptor, output))
    try:
        code = await asyncio.shield(child.exited)
        await ended(reading)
        _read_rest(descriptor, output)
        return Answer(code, bytes(output))
    finally:
        if not child.exited.done():
            kill_trees([child.pid])
        await ended(reading)


async def _read(descriptor: int, output: bytearray) -> None:
    while True:
        data = await pipes.read(descriptor)
        if not data:
            return
        output += data[: LONGEST - len(output)]


def _read_rest(descriptor: int, output: bytearray) -> None:
    """What the program wrote last, whoever else still holds the pipe."""
    with contextlib.suppress(BlockingIOError):
        while len(output) < LONGEST:
            data = os.read(descriptor, LONGEST - len(output))
            if not data:
                return
            output += data
