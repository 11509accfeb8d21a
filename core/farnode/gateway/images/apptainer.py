"""Runs `apptainer build`: fetches an image's layers and makes one SIF file, or one directory, of them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from farnode.gateway.images.credentials import Login
from farnode.gateway.images.errors import ImageError

_TAIL = 8192
"""Bytes of its output that are kept for words."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def command(source: str, target: Path, *, directory: bool, insecure: bool) -> list[str]:
    """`--disable-cache`: the result is kept by digest, and a second copy in the account's home would fill it.
    `--fix-perms`: so that this account can remove the directory again."""
    kind = ["--sandbox", "--fix-perms"] if directory else []
    clear = ["--no-https"] if insecure else []
    return ["nice", "-n", "10", "apptainer", "build", "--disable-cache", *kind, *clear, str(target), source]


def environment(login: Login | None) -> dict[str, str]:
    """Where the login goes, as only this account can read a process's environment, while everyone reads arguments."""
    if login is None:
        return dict(os.environ)
    return {**os.environ, "APPTAINER_DOCKER_USERNAME": login.user, "APPTAINER_DOCKER_PASSWORD": login.password}


async def build(argv: Sequence[str], login: Login | None, timeout: float) -> None:  # noqa: ASYNC109
    """ImageError with apptainer's own words, or when `timeout` seconds were not enough."""
    if shutil.which("apptainer") is None:
        words = "the site has no apptainer to fetch images; accepted: images that are there already (images.prepared)"
        raise ImageError("ErrImagePull", words, retry=False)
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=environment(login),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout):
            output = await _tail(process)
            code = await process.wait()
    except TimeoutError:
        raise ImageError("ErrImagePull", f"{argv[-1]}: not fetched within {timeout:.0f} s") from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if code:
        raise ImageError("ErrImagePull", f"{argv[-1]}: {_words(output, code)}")


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
    return next(reversed(fatal or lines), f"apptainer ended with {code}")
