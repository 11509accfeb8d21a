"""Runs a program that makes an image: out of the way of others, no longer than allowed, and with its own words."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_TAIL = 8192
"""Bytes of its output that are kept for words."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


async def run(argv: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> str | None:
    """None when it succeeded, else why not. Cancelled, it and all it started are killed."""
    process = await asyncio.create_subprocess_exec(
        *("nice", "-n", "10", *argv),
        cwd=cwd,
        env={**os.environ, **environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output = await _tail(process)
        code = await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return _words(output, code) if code else None


async def _tail(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    tail = b""
    while chunk := await process.stdout.read(_TAIL):
        tail = (tail + chunk)[-_TAIL:]
    return tail.decode(errors="replace")


def _words(output: str, code: int) -> str:
    """The line that says why, without colours and time."""
    lines = [line.strip() for line in _COLOUR.sub("", output).splitlines() if line.strip()]
    fatal = [line.partition("FATAL:")[2].strip() for line in lines if "FATAL:" in line]
    return next(reversed(fatal or lines), f"it ended with {code}")
