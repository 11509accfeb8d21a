"""A gateway of this machine in a temporary directory, with pretended GPUs; nothing of it stays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import yaml

from farnode.client import config
from farnode.client.aio import AsyncClient
from farnode.client.site import Site
from farnode.errors import FarnodeError, Permanent

_NAME = "demo"
_START, _STOP = 30.0, 20.0
_PAUSE = 0.05


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """Serves as long as the block lasts, then every pod, allocation and file is gone."""
    with tempfile.TemporaryDirectory(prefix="farnode-demo-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        process = _start(directory)
        try:
            found = await _entry(directory, process)
            try:
                yield found
            finally:
                with anyio.CancelScope(shield=True), suppress(FarnodeError):
                    await _end_everything(found)
        finally:
            _stop(process)


def _start(directory: Path) -> subprocess.Popen[bytes]:
    settings = {
        "site": _NAME,
        "provider": {"kind": "local", "gpus": {"model": "pretended", "count": 4}},
        "state": str(directory / "state"),
        "spool": str(directory / "spool"),
        "runners": {"listen": "127.0.0.1:0", "advertise": "localhost"},
        "runtimes": ["process"],
        "python": sys.executable,
    }
    path = directory / "gateway.yaml"
    path.write_text(yaml.safe_dump(settings))
    environment = {**os.environ, "FARNODE_CONFIG": str(directory / "config.yaml")}
    command = [sys.executable, "-m", "farnode.cli", "gateway", "start", "-c", str(path)]
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


async def _entry(directory: Path, process: subprocess.Popen[bytes]) -> Site:
    """What the gateway says of itself when it answers."""
    with anyio.move_on_after(_START):
        while process.poll() is None:
            if (directory / "sites.d" / f"{_NAME}.yaml").exists():
                return config.load(directory / "config.yaml").choose(_NAME)
            await anyio.sleep(_PAUSE)
    said = (directory / "log").read_text(errors="replace").strip().splitlines()
    raise Permanent(f"the embedded gateway did not start: {said[-1] if said else 'it said nothing'}")


async def _end_everything(found: Site) -> None:
    async with AsyncClient(found, patience=0) as client:
        await client.stop()
        with anyio.move_on_after(_STOP):
            while True:
                if not (await client.site()).get("allocations"):
                    return
                await anyio.sleep(_PAUSE)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
