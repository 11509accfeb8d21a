"""The embedded site: what the contract does not say, above all that allocations outlive their gateway."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from farnode.errors import Transient
from farnode.model.allocation import AllocationId, AllocationRequest, AllocationState, Cause, GpuRequest, Phase, Refused
from farnode.providers.local import LocalProvider, launch
from farnode.providers.local.proc import alive as lives
from farnode.providers.local.proc import boot_id, marked, start_time
from farnode.providers.local.record import KEEP, Record, Shelf
from farnode.providers.local.settings import LocalSettings
from farnode.providers.port import Site
from tests.providers.helpers import Clock, alive, request, until

pytestmark = pytest.mark.anyio
GRACE = 30.0
GPUS = {"model": "a100", "count": 4}
SCRIPT = """#!/bin/sh
env -0 >environment.new && mv environment.new environment
trap 'echo USR1 >>signalled' USR1
trap 'echo TERM >>signalled; [ -n "$DEAF" ] || exit 143' TERM
(trap '' TERM; exec sleep 1000) & echo $! >child
touch begun
while [ ! -e finish ]; do sleep 0.02 & wait $!; done
exit "$(cat finish)"
"""


@dataclass
class Here:
    """The embedded site in a directory, and a gateway's driver for it."""

    root: Path
    clock: Clock

    def __post_init__(self) -> None:
        (self.root / "job.sh").write_text(SCRIPT)
        self.provider = self.gateway()
        self.nonces: list[str] = []

    def gateway(self, **settings: object) -> LocalProvider:
        """A new process of the gateway, as far as the driver can tell."""
        read = LocalSettings.read({"cores": 4, "memory": "8Gi", "gpus": GPUS, **settings})
        return LocalProvider(read, Site("here", self.root / "job.sh", self.root), clock=self.clock, grace=GRACE)

    def request(self, nonce: str, **values: object) -> AllocationRequest:
        self.nonces.append(nonce)
        (self.root / nonce).mkdir()
        return request(nonce, **{"directory": str(self.root / nonce), **values})

    async def begun(self, nonce: str) -> AllocationId:
        await until((self.root / nonce / "begun").exists)
        return AllocationId(nonce, nonce)

    async def state(self, nonce: str, provider: LocalProvider | None = None) -> AllocationState:
        allocation = AllocationId(nonce)
        return (await (provider or self.provider).states([allocation]))[allocation]

    def file(self, nonce: str, name: str) -> str:
        return (self.root / nonce / name).read_text()

    def environment(self, nonce: str) -> dict[str, str]:
        pairs = self.file(nonce, "environment").split("\0")
        return dict(pair.split("=", 1) for pair in pairs if pair)

    async def finish(self, nonce: str, code: int = 0) -> AllocationState:
        (self.root / nonce / "finish.new").write_text(str(code))
        (self.root / nonce / "finish.new").rename(self.root / nonce / "finish")
        await until((self.root / nonce / "exit").exists)
        return await self.ended(nonce)

    async def ended(self, nonce: str) -> AllocationState:
        async with asyncio.timeout(20):
            while (state := await self.state(nonce)).phase is Phase.RUNNING:
                pass
        return state

    def record(self, nonce: str) -> dict[str, object]:
        return json.loads((self.root / "local" / f"{nonce}.json").read_text())  # type: ignore[no-any-return]

    def keeper(self, nonce: str) -> bool:
        return alive(int(str(self.record(nonce)["pid"])))


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Here]:
    here = Here(tmp_path, Clock())
    yield here
    for nonce in here.nonces:
        for pid in marked(nonce):
            os.kill(pid, signal.SIGKILL)
    await here.provider.states([])


async def test_its_size_and_devices_are_in_its_environment(here: Here) -> None:
    gpu = GpuRequest("nvidia.com", "a100", 2)
    wanted = here.request("a", cores=2, memory=1 << 30, gpu=gpu, environment={"FARNODE_X": "1", "PATH": "/bin"})
    await here.provider.submit([wanted, here.request("b", gpu=gpu), here.request("c")])
    await here.begun("a")
    environment = here.environment("a")
    assert (
        environment
        | {
            "FARNODE_CORES": "2",
            "FARNODE_MEMORY": str(1 << 30),
            "FARNODE_NONCE": "a",
            "FARNODE_X": "1",
            "FARNODE_GPUS": "0,1",
            "CUDA_VISIBLE_DEVICES": "0,1",
            "PATH": "/bin",
            "LANG": "C.UTF-8",
        }
        == environment
    )
    assert set(environment) - {"PWD", "OLDPWD", "SHLVL", "_"} == {
        *("FARNODE_CORES", "FARNODE_MEMORY", "FARNODE_NONCE", "FARNODE_X", "FARNODE_GPUS", "CUDA_VISIBLE_DEVICES"),
        *("PATH", "HOME", "USER", "LANG"),
    }
    await here.begun("b")
    await here.begun("c")
    assert here.environment("b")["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert "CUDA_VISIBLE_DEVICES" not in here.environment("c")


@pytest.mark.parametrize(
    "values",
    [
        {"cores": 5},
        {"memory": 9 << 30},
        {"nodes": 2},
        {"partition": "main"},
        {"gpu": GpuRequest("nvidia.com", "h100", 1)},
        {"gpu": GpuRequest("nvidia.com", "a100", 5)},
        {"nonce": "../escape"},
    ],
)
async def test_what_can_never_fit_is_refused(here: Here, values: dict[str, object]) -> None:
    (refused,) = await here.provider.submit([replace(request(), **values)])  # type: ignore[arg-type]
    assert isinstance(refused, Refused)
    assert refused.words
    assert not refused.again


async def test_what_does_not_fit_now_waits(here: Here) -> None:
    await here.provider.submit([here.request("a", cores=3), here.request("b", cores=2)])
    await here.begun("a")
    waiting = await here.state("b")
    assert (waiting.phase, waiting.reason) == (Phase.QUEUED, "Resources")
    await here.finish("a")
    await here.begun("b")


async def test_a_pretended_queue(here: Here) -> None:
    here.provider = here.gateway(queueDelay=60)
    await here.provider.submit([here.request("a"), here.request("b")])
    waiting = await here.state("a")
    assert (waiting.phase, waiting.expected_start) == (Phase.QUEUED, here.clock.now + 60)
    await here.provider.cancel([AllocationId("b")])
    assert (await here.state("b")).cause is Cause.CANCELLED
    here.clock.now += 60
    again = here.gateway(queueDelay=60)
    assert (await here.state("a", again)).phase is Phase.RUNNING
    await here.begun("a")


async def test_a_queued_allocation_starts_though_nobody_asks(tmp_path: Path) -> None:
    here = Here(tmp_path, Clock())
    read = LocalSettings.read({"cores": 1, "memory": "1Gi", "queueDelay": 0.05})
    provider = LocalProvider(read, Site("here", tmp_path / "job.sh", tmp_path))
    await provider.submit([here.request("a")])
    assert not (tmp_path / "a" / "begun").exists()
    allocation = await here.begun("a")
    await provider.cancel([allocation])
    await until(lambda: not here.keeper("a"))
    for pid in marked("a"):
        os.kill(pid, signal.SIGKILL)


async def test_a_second_submission_of_a_nonce_is_the_first(here: Here) -> None:
    wanted = here.request("a")
    assert await here.provider.submit([wanted]) == await here.provider.submit([wanted])
    await here.begun("a")
    pid = here.record("a")["pid"]
    again = here.gateway()
    await again.submit([wanted])
    assert here.record("a")["pid"] == pid


async def test_the_next_gateway_finds_it_alive(here: Here) -> None:
    await here.provider.submit([here.request("a")])
    await here.begun("a")
    here.provider = here.gateway()
    assert (await here.state("a")).phase is Phase.RUNNING
    end = await here.finish("a", 7)
    assert end.cause is Cause.FAILED
    assert "exit code 7" in end.words


async def test_what_ended_meanwhile_keeps_its_exit_code(here: Here) -> None:
    await here.provider.submit([here.request("a"), here.request("b")])
    for nonce, code in (("a", 0), ("b", 137)):
        await here.begun(nonce)
        await here.finish(nonce, code)
    here.provider = here.gateway()
    assert (await here.state("a")).cause is Cause.COMPLETED
    assert "signal 9" in (await here.state("b")).words


async def test_it_outlives_a_gateway_that_is_killed(here: Here) -> None:
    """A real process submits and dies at once by SIGKILL."""
    wanted = here.request("a", environment={"FARNODE_X": "1"})
    program = f"""
import asyncio, os, signal
from pathlib import Path
from farnode.model.allocation import AllocationRequest
from farnode.providers.local import LocalProvider
from farnode.providers.port import Site
async def main():
    root = Path({str(here.root)!r})
    provider = LocalProvider.create({{"cores": 4, "memory": "8Gi"}}, Site("here", root / "job.sh", root))
    await provider.submit([AllocationRequest("a", 1, 0, {wanted.directory!r})])
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    gateway = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await gateway.wait() == -signal.SIGKILL
    await here.begun("a")
    here.provider = here.gateway()
    assert (await here.state("a")).phase is Phase.RUNNING
    assert (await here.finish("a")).cause is Cause.COMPLETED


async def test_nothing_runs_before_its_record_is_on_disk(here: Here) -> None:
    """The gateway dies between the record and the release: the next one finds that nothing ever ran."""
    wanted = here.request("a")
    held = launch.launch("a", here.root / "job.sh", wanted.directory, {"FARNODE_NONCE": "a"})
    record = Record("a", wanted.directory, {}, 1, 0, 0, due=0.0, walltime=None, warning=60, pid=held.pid)
    record.start, record.boot = start_time(held.pid), boot_id()
    Shelf(here.root / "local").save(record)
    assert not (here.root / "a" / "begun").exists()
    os.close(held.gate)
    await until((here.root / "a" / "exit").exists)
    again = here.gateway()
    await until(lambda: not lives(held.pid, record.start))
    assert (await here.state("a", again)).phase is Phase.ABSENT
    assert not (here.root / "a" / "environment").exists()
    await again.submit([replace(wanted)])
    await here.begun("a")


async def test_a_kept_record_of_before_a_reboot_is_an_end(here: Here) -> None:
    await here.provider.submit([here.request("a")])
    await here.begun("a")
    path = here.root / "local" / "a.json"
    path.write_text(json.dumps({**here.record("a"), "boot": "another", "key_of_a_newer_version": 1}))
    end = await here.state("a", here.gateway())
    assert (end.phase, end.cause) == (Phase.ENDED, Cause.FAILED)
    assert "restarted" in end.words


async def test_a_killed_keeper_leaves_nothing_behind(here: Here) -> None:
    await here.provider.submit([here.request("a")])
    await here.begun("a")
    os.kill(int(str(here.record("a")["pid"])), signal.SIGKILL)
    child = int(here.file("a", "child"))
    assert alive(child)
    end = await here.ended("a")
    assert end.cause is Cause.FAILED
    await until(lambda: not list(marked("a")))


async def test_an_end_takes_stray_processes_along(here: Here) -> None:
    await here.provider.submit([here.request("a")])
    await here.begun("a")
    assert (await here.finish("a")).cause is Cause.COMPLETED
    await until(lambda: not list(marked("a")))


async def test_who_does_not_hear_sigterm_gets_sigkill(here: Here) -> None:
    await here.provider.submit([here.request("a", environment={"DEAF": "1"})])
    allocation = await here.begun("a")
    await here.provider.cancel([allocation])
    await until((here.root / "a" / "signalled").exists)
    here.clock.now += GRACE - 1
    assert (await here.state("a")).phase is Phase.RUNNING
    here.clock.now += 1
    here.provider = here.gateway()
    end = await here.ended("a")
    assert end.cause is Cause.CANCELLED
    await until(lambda: not list(marked("a")))


async def test_a_time_limit_warns_and_ends(here: Here) -> None:
    await here.provider.submit([here.request("a", walltime=100, warning=60)])
    await here.begun("a")
    here.clock.now += 39
    await here.state("a")
    assert not (here.root / "a" / "signalled").exists()
    here.clock.now += 1
    await here.state("a")
    signalled = here.root / "a" / "signalled"
    await until(lambda: signalled.exists() and signalled.read_text())
    assert signalled.read_text() == "USR1\n"
    assert alive(int(here.file("a", "child"))), "the warning is for the script alone"
    here.clock.now += 60
    await here.state("a")
    end = await here.ended("a")
    assert end.cause is Cause.WALLTIME
    assert "100 s" in end.words


async def test_a_script_that_cannot_start_is_an_end(here: Here) -> None:
    await here.provider.submit([request("a", directory=str(here.root / "missing"))])
    end = await here.state("a")
    assert (end.phase, end.cause) == (Phase.ENDED, Cause.FAILED)
    assert "could not be started" in end.words


async def test_records_are_private_and_forgotten_in_time(here: Here) -> None:
    await here.provider.submit([here.request("a")])
    await here.begun("a")
    path = here.root / "local" / "a.json"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    await here.finish("a")
    here.clock.now += KEEP - 1
    here.gateway()
    assert path.exists()
    here.clock.now += 2
    assert (await here.state("a", here.gateway())).phase is Phase.ABSENT
    assert not path.exists()


async def test_a_state_directory_that_cannot_be_written_is_told(here: Here) -> None:
    (here.root / "local").rename(here.root / "elsewhere")
    with pytest.raises(Transient, match="records cannot be kept"):
        await here.provider.submit([here.request("a")])
    (here.root / "elsewhere").rename(here.root / "local")
    await here.provider.submit([request("a", directory=str(here.root / "a"))])
    await here.begun("a")
