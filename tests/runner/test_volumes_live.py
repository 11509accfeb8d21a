"""Volumes in containers of a real runner: processes of the node, each with its volumes in a namespace of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from .gateway import NONCE, PATIENCE, FakeGateway, everything, order, running, shell
from .stage import read
from .test_volumes import file, files, mount, path

pytestmark = pytest.mark.system
Process = asyncio.subprocess.Process
JOB = Path(__file__).parents[2] / "core/farnode/runner/job.sh"


def play(directory: Path, scenario: Callable[[FakeGateway, Process], Awaitable[None]], name: str = NONCE) -> None:
    """`name` is that of the allocation's directory."""

    async def run() -> None:
        gateway = FakeGateway(directory)
        gateway.allocation = gateway.allocation.rename(directory / name)
        async with running(gateway) as process:
            await scenario(gateway, process)

    asyncio.run(run())


async def log(gateway: FakeGateway, until: bytes = b"") -> bytes:
    """What the container has printed, once `until` is in it, or in all."""
    await gateway.event(lambda event: event["phase"] != "Pending")
    if not until:
        return await everything(await gateway.open("logs", follow=True))
    stream, found = await gateway.open("logs", follow=True), b""
    async with asyncio.timeout(PATIENCE):
        while until not in found:
            item = await stream.receive()
            assert item is not None
            found += item.data  # type: ignore[union-attr]
    await stream.close()
    return found


async def update(gateway: FakeGateway, *volumes: dict[str, Any]) -> None:
    await gateway.send(type="inputs", uid="u1", attempt=1, volumes=list(volumes))


def test_a_container_sees_new_content_but_not_by_sub_path(tmp_path: Path) -> None:
    """Kubernetes, "ConfigMaps", "Mounted ConfigMaps are updated automatically"."""

    async def scenario(gateway: FakeGateway, process: Process) -> None:
        script = "echo up; until grep -q new /v/key; do sleep 0.02; done; cat /v/key /part; ls /v; echo x >/v/key"
        mounts = [mount(), mount("/part", sub_path="key")]
        old, new = files(file("key", "old\n"), file("stale", "")), files(file("key", "new\n"), file("more", ""))
        pod = shell(script, volumes=[old])
        pod["containers"][0]["mounts"] = mounts
        await gateway.start(pod)
        await log(gateway, b"up")
        await update(gateway, new)
        await update(gateway, new)
        ended = await gateway.ended()
        assert (await log(gateway)).startswith(b"up\nnew\nold\nkey\nmore\n")
        assert ended["containers"][0]["state"]["terminated"]["exitCode"] != 0  # the last command: it is read-only

    play(tmp_path, scenario)


def test_host_aliases_reach_a_process(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        aliases = [{"ip": "192.0.2.9", "hostnames": ["database"]}]
        await gateway.start(order("getent", "hosts", "database", host_aliases=aliases))
        await gateway.ended()
        assert (await log(gateway)).split() == [b"192.0.2.9", b"database"]

    play(tmp_path, scenario)


def test_a_read_only_path_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/data").write_text("kept\n")

    async def scenario(gateway: FakeGateway, process: Process) -> None:
        pod = shell("cat /v/data; echo x >/v/data", volumes=[path(tmp_path / "site", read_only=True)])
        pod["containers"][0]["mounts"] = [mount()]
        await gateway.start(pod)
        ended = await gateway.ended()
        assert ended["phase"] == "Failed"
        assert (await log(gateway)).startswith(b"kept\n")

    play(tmp_path, scenario)
    assert (tmp_path / "site/data").read_text() == "kept\n"


def test_paths_of_the_site_survive_a_runner_that_is_killed(tmp_path: Path) -> None:
    """And what the job script sweeps afterwards is what the runner made, and nothing that links or mounts lead to."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/data").write_text("kept\n")

    async def scenario(gateway: FakeGateway, process: Process) -> None:
        script = (
            f"ln -s {tmp_path}/site /e/link; mkdir -p /e/a/b; chmod 500 /e/a; cp /v/data /v/copy; echo up; sleep 99"
        )
        pod = shell(script, volumes=[path(tmp_path / "site"), {"name": "e", "kind": "empty"}])
        pod["containers"][0]["mounts"] = [mount(), mount("/e", "e")]
        await gateway.start(pod)
        await log(gateway, b"up")
        children = read(f"/proc/{process.pid}/task/{process.pid}/children").split()
        process.send_signal(signal.SIGKILL)
        await process.wait()
        for child in children:
            os.kill(int(child), signal.SIGKILL)

    name = f"n{os.urandom(8).hex()}"  # what is swept goes by it, on the whole node
    play(tmp_path, scenario, name)
    assert list((tmp_path / "scratch").iterdir())
    (tmp_path / name / "runner.pyz").write_text("")
    environ = {"PATH": os.environ["PATH"], "FARNODE_ALLOCATION": str(tmp_path / name)}
    subprocess.run(["sh", str(JOB)], env={**environ, "FARNODE_SCRATCH": str(tmp_path / "scratch")}, check=True)
    assert not list((tmp_path / "scratch").iterdir())
    assert not list(Path("/dev/shm").glob(f"farnode-{name}-*"))
    kept = {one.name: one.read_text() for one in (tmp_path / "site").iterdir()}
    assert kept == {"data": "kept\n", "copy": "kept\n"}
