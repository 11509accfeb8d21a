"""What the GPUs of this node do, asked of the vendor's tool where there is one.

The tools are slow (a tenth of a second and more) and may hang with a broken driver: they are asked in the background,
at most every `FRESH` seconds, and one that did not answer in `PATIENCE` is left alone for `PAUSE`. No tool, or one that
says something else, is no error: then nothing is known.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

from ...wire.messages import GpuStats
from ..clock import Clock
from ..output import pipes
from ..probes import timeout
from ..processes.children import Children
from ..processes.leftovers import kill_trees
from ..runtime import Command
from ..runtimes import batch

FRESH, PATIENCE, PAUSE = 5.0, 3.0, 60.0
LARGEST = 2**20
MIB = 2**20
NVIDIA = (
    "nvidia-smi",
    "--query-gpu=index,uuid,memory.used,memory.total,utilization.gpu",
    "--format=csv,noheader,nounits",
)
AMD = ("rocm-smi", "--showuse", "--showmeminfo", "vram", "--json")

Known = dict[str, GpuStats]
"""By every name a batch system may call a device."""


class Accelerators:
    def __init__(self, clock: Clock, children: Children, environ: Mapping[str, str]) -> None:
        self._clock = clock
        self._children = children
        self._env = batch.for_tools(environ)
        self._known: Known = {}
        self._not_before = 0.0
        self._asking: asyncio.Task[None] | None = None

    async def now(self, devices: Iterable[str]) -> dict[str, GpuStats]:
        """Of those devices, those of which something is known."""
        wanted = set(devices)
        if wanted and self._asking is None and self._clock.time() >= self._not_before:
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        if wanted and self._asking is not None:
            await asyncio.wait({self._asking})
        return {device: {**self._known[device], "device": device} for device in wanted & self._known.keys()}

    async def _ask(self) -> None:
        known: Known = {}
        pause = FRESH
        for argv, understood in ((NVIDIA, nvidia), (AMD, amd)):
            tool = shutil.which(argv[0], path=self._env.get("PATH"))
            if tool is None:
                continue
            try:
                known.update(understood(await self._said([tool, *argv[1:]])))
            except asyncio.TimeoutError:
                pause = PAUSE
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
        self._known, self._not_before, self._asking = known, self._clock.time() + pause, None

    async def _said(self, argv: list[str]) -> str:
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        try:
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            try:
                child = self._children.start(Command(argv, self._env, "/"), (None, theirs, null))
            finally:
                os.close(null)
                os.close(theirs)
            try:
                return await timeout.within(self._clock, PATIENCE, _text(ours))
            finally:
                if not child.exited.done():
                    kill_trees([child.pid])
        finally:
            os.close(ours)


async def _text(descriptor: int) -> str:
    text = b""
    while (data := await pipes.read(descriptor)) and len(text) < LARGEST:
        text += data
    return text.decode("utf-8", "replace")


def nvidia(text: str) -> Known:
    """Lines of index, UUID, MiB used, MiB in all, percent; what a device does not tell is in brackets."""
    known: Known = {}
    for line in text.splitlines():
        index, uuid, *figures = (part.strip() for part in line.split(","))
        used, total, busy = (_number(figure) for figure in figures)
        known[index] = known[uuid] = _stats(_times(used, MIB), _times(total, MIB), busy)
    return known


def amd(text: str) -> Known:
    """`{"card0": {"GPU use (%)": "3", "VRAM Total Memory (B)": "…", "VRAM Total Used Memory (B)": "…"}}`"""
    known: Known = {}
    for card, said in json.loads(text).items():
        used, total = _number(said.get("VRAM Total Used Memory (B)")), _number(said.get("VRAM Total Memory (B)"))
        known[card[len("card") :]] = _stats(used, total, _number(said.get("GPU use (%)")))
    return known


def _stats(used: float | None, total: float | None, busy: float | None) -> GpuStats:
    stats: GpuStats = {}
    if used is not None:
        stats["memory"] = int(used)
    if total is not None:
        stats["memory_total"] = int(total)
    if busy is not None:
        stats["utilization"] = busy
    return stats


def _times(number: float | None, factor: int) -> float | None:
    return None if number is None else number * factor


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
