"""Arrays and jobs with several runners on a real Slurm: the fixed script, and a small program for the runner."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farnode.model.allocation import AllocationId, AllocationRequest, Cause, GpuRequest, Phase, Refused
from farnode.testing.provider_contract import nonce, submitted, until
from tests.providers.helpers import until as eventually
from tests.providers.slurm_site import SlurmBench
from tests.testbed import SiteSpec, SlurmSite, free_index
from tests.testbed.machine import USERS

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.system,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("apt-get") is None, reason="the testbed needs root on a Debian machine"
    ),
]
SCRIPT = Path(__file__).parents[2] / "core/farnode/runner/job.sh"
LIMIT = 5
CONF = ("MessageTimeout=3", "MaxArraySize=8", "WaitTime=1")
RUNNER = """\
import json, os, signal, subprocess, sys, time
def note(word):
    with open("noted", "a") as file:
        file.write(word + "\\n")
def ended(*_):
    note("TERM")
    sys.exit(143)
signal.signal(signal.SIGTERM, ended)
signal.signal(signal.SIGUSR1, lambda *_: note("USR1"))
pod = subprocess.Popen(["sleep", "1000"])
with open("new", "w") as file:
    json.dump({**os.environ, "HOST": os.uname().nodename}, file)
os.rename("new", "environment.json")
while not os.path.exists("end"):
    if pod.poll() is not None:
        note(f"the pod ended with {pod.poll()}")
        break
    time.sleep(0.02)
pod.kill()
sys.exit(0 if os.path.exists("end") else 1)
"""
"""Started as the supervisor is, with a child as a pod would be: `end` lets it end in order."""


@pytest.fixture(scope="module")
def site() -> Iterator[SlurmSite]:
    spec = SiteSpec(nodes=3, accounting=True, index=free_index(), farnode=False, slurmd_timeout=5, extra_conf=CONF)
    with SlurmSite(spec) as running:
        limit = ["sacctmgr", "-i", "modify", "user", "alice", "set", f"maxsubmit={LIMIT}"]
        running.run("root", limit)
        yield running


@dataclasses.dataclass
class Several:
    """A bench whose allocations have their directories, and what the program in each has noted."""

    bench: SlurmBench

    def __post_init__(self) -> None:
        (self.bench.site.home("alice") / "job.sh").write_text(SCRIPT.read_text())

    def requests(self, count: int, **values: Any) -> list[AllocationRequest]:
        base = nonce()
        return [self._request(f"{base}-{index}", **values) for index in range(count)]

    def _request(self, own: str, **values: Any) -> AllocationRequest:
        inside, outside = self.bench.directory(own)
        (outside / "runner.pyz").write_text(RUNNER)
        os.chown(outside / "runner.pyz", USERS["alice"], USERS["alice"])
        environment = {"FARNODE_ALLOCATION": inside}
        defaults: dict[str, Any] = {"cores": 1, "memory": 64 << 20, "walltime": 600, "environment": environment}
        return AllocationRequest(own, directory=inside, **{**defaults, **values})

    def at(self, request: AllocationRequest) -> Path:
        return self.bench.directory(request.nonce)[1]

    def noted(self, request: AllocationRequest) -> list[str]:
        path = self.at(request) / "noted"
        return path.read_text().split() if path.exists() else []

    async def environments(self, requests: list[AllocationRequest]) -> list[dict[str, str]]:
        paths = [self.at(request) / "environment.json" for request in requests]
        await eventually(lambda: all(path.exists() for path in paths))
        return [json.loads(path.read_text()) for path in paths]

    def end(self, request: AllocationRequest) -> None:
        (self.at(request) / "end").touch()


@pytest.fixture
def several(site: SlurmSite, tmp_path: Path) -> Several:
    return Several(SlurmBench(site, tmp_path))


async def test_an_array_runs_a_runner_in_each_directory(several: Several) -> None:
    requests = several.requests(3)
    async with submitted(several.bench, *requests) as allocations:
        environments = await several.environments(requests)
        assert several.bench.provider.calls().made == {"sbatch": 1}
        for request, allocation, environment in zip(requests, allocations, environments, strict=True):
            assert environment["FARNODE_NONCE"] == request.nonce
            assert environment["FARNODE_ALLOCATION"] == request.directory
            assert allocation.job == f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
        several.end(requests[1])
        assert (await until(several.bench, allocations[1], Phase.ENDED))[-1].cause is Cause.COMPLETED
        states = await several.bench.provider.states(allocations)
        assert [states[each].phase for each in allocations] == [Phase.RUNNING, Phase.ENDED, Phase.RUNNING]
        assert (several.at(requests[0]) / "job.out").exists()


async def test_an_array_that_is_too_large_for_the_account_is_halved(several: Several) -> None:
    requests = several.requests(7)
    answers = await several.bench.provider.submit(requests)
    accepted = [answer for answer in answers if isinstance(answer, AllocationId)]
    try:
        assert [answer.nonce for answer in accepted] == [request.nonce for request in requests[:3]]
        assert all(isinstance(answer, Refused) and answer.again for answer in answers[3:])
        assert several.bench.provider.calls().made == {"sbatch": 2}
    finally:
        await several.bench.provider.cancel(accepted)
        for allocation in accepted:
            await until(several.bench, allocation, Phase.ENDED)


async def test_an_index_too_large_for_an_array_is_found_too(several: Several) -> None:
    await several.bench.provider.inventory()
    requests = several.requests(9)[-2:]
    async with submitted(several.bench, *requests) as (element, plain):
        assert ["_" in str(element.job), "_" in str(plain.job)] == [True, False]
        await several.environments(requests)
        unknown = AllocationId(plain.nonce)
        assert (await several.bench.provider.states([unknown]))[unknown].job == plain.job
        await several.bench.provider.cancel([plain])
        assert (await until(several.bench, plain, Phase.ENDED))[-1].cause is Cause.CANCELLED


async def test_what_waits_is_cancelled_in_part_and_in_whole(several: Several) -> None:
    requests = several.requests(4, cores=16, nodes=2)
    async with submitted(several.bench, *requests) as allocations:
        await several.environments(requests[:1])
        await several.bench.provider.cancel(allocations[1:2])
        states = await several.bench.provider.states(allocations)
        assert states[allocations[1]].phase is Phase.ABSENT, "Slurm says nothing of an element that never began"
        assert [states[each].phase for each in allocations[2:]] == [Phase.QUEUED, Phase.QUEUED]
        await several.bench.provider.cancel(allocations)
        for allocation in (allocations[0], *allocations[2:]):
            assert (await until(several.bench, allocation, Phase.ENDED))[-1].cause is Cause.CANCELLED


async def test_a_runner_on_each_node_of_one_job(several: Several, site: SlurmSite) -> None:
    gpus = GpuRequest("nvidia.com", "a100", 2)
    requests = several.requests(3, cores=4, nodes=3, together=True, gpu=gpus)
    async with submitted(several.bench, *requests) as allocations:
        environments = await several.environments(requests)
        assert len({allocation.job for allocation in allocations}) == 1
        assert [environment["HOST"] for environment in environments] == ["n1", "n2", "n3"]
        for request, environment in zip(requests, environments, strict=True):
            assert environment["FARNODE_NONCE"] == request.nonce
            assert environment["SLURM_CPUS_ON_NODE"] == "4"
            assert len(environment["CUDA_VISIBLE_DEVICES"].split(",")) == 2
            assert "FARNODE_KILL_WAIT" in environment
        jobs = site.run("alice", ["squeue", "--me", "--noheader", "--format=%i %j"]).stdout.splitlines()
        assert jobs == [f"{allocations[0].job} {requests[0].job_name}"]
        several.end(requests[0])
        await eventually(lambda: not (several.at(requests[0]) / "seat").exists())
        states = await several.bench.provider.states([*allocations, AllocationId(requests[2].nonce)])
        assert {state.phase for state in states.values()} == {Phase.RUNNING}, "one that ends does not end the others"
        for request in requests[1:]:
            assert several.noted(request) == []
            several.end(request)
        assert (await until(several.bench, allocations[2], Phase.ENDED))[-1].cause is Cause.COMPLETED


async def test_a_warning_reaches_every_runner_and_no_pod(several: Several, site: SlurmSite) -> None:
    requests = several.requests(2, nodes=2, together=True)
    async with submitted(several.bench, *requests) as (first, _):
        await several.environments(requests)
        site.run("alice", ["scancel", "--signal=USR1", "--batch", str(first.job)])
        await eventually(lambda: all(several.noted(request) for request in requests))
        assert [several.noted(request) for request in requests] == [["USR1"], ["USR1"]]
        for request in requests:
            several.end(request)
        assert (await until(several.bench, first, Phase.ENDED))[-1].cause is Cause.COMPLETED


async def test_cancelling_one_seat_ends_them_all_by_sigterm(several: Several) -> None:
    requests = several.requests(2, nodes=2, together=True)
    async with submitted(several.bench, *requests) as (first, second):
        await several.environments(requests)
        await several.bench.provider.cancel([second])
        for allocation in (first, second):
            assert (await until(several.bench, allocation, Phase.ENDED))[-1].cause is Cause.CANCELLED
        assert ["TERM" in several.noted(request) for request in requests] == [True, True]


async def test_a_lost_node_does_not_take_the_others(several: Several, site: SlurmSite) -> None:
    requests = several.requests(2, nodes=2, together=True)
    async with submitted(several.bench, *requests) as (first, second):
        environments = await several.environments(requests)
        lost = int(environments[1]["HOST"].removeprefix("n"))
        site.power_off(lost)
        try:
            async with asyncio.timeout(60):
                while len((states := await several.bench.provider.states([first, second]))[first].nodes) > 1:
                    await asyncio.sleep(0.2)
            assert states[first].phase is Phase.RUNNING
            assert states[first].nodes == (environments[0]["HOST"],)
            assert several.noted(requests[0]) == []
            several.end(requests[0])
            await until(several.bench, first, Phase.ENDED)
        finally:
            site.power_on(lost)
            site.wait_idle()


async def test_the_time_limit_warns_every_runner(several: Several) -> None:
    """Slurm looks every half minute, and warns half a minute early: half a minute after the beginning of two, when the
    runners have been there for long."""
    requests = several.requests(2, nodes=2, together=True, walltime=120, warning=60)
    async with submitted(several.bench, *requests):
        await several.environments(requests)
        async with asyncio.timeout(100):
            while not all("USR1" in several.noted(request) for request in requests):
                await asyncio.sleep(0.1)
        assert [several.noted(request) for request in requests] == [["USR1"], ["USR1"]]


async def test_one_job_of_several_nodes_has_one_runner(several: Several) -> None:
    (request,) = several.requests(1, nodes=2, cores=2)
    async with submitted(several.bench, request):
        (environment,) = await several.environments([request])
        assert (environment["SLURM_JOB_NUM_NODES"], environment["SLURM_TASKS_PER_NODE"]) == ("2", "1(x2)")
        assert environment["SLURM_CPUS_ON_NODE"] == "2"
