"""What a real Slurm says of jobs that are held, put back, preempted or lost with their node."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from farnode.model.allocation import AllocationId, AllocationState, Cause, Phase
from farnode.testing.provider_contract import job, started, submitted, until
from tests.providers.slurm_site import SlurmBench
from tests.testbed import SiteSpec, SlurmSite, free_index

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.system,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("apt-get") is None, reason="the testbed needs root on a Debian machine"
    ),
]
CONF = (
    "MessageTimeout=3",
    "PreemptType=preempt/partition_prio",
    "PreemptMode=CANCEL",
    "PartitionName=urgent Nodes=ALL PriorityTier=10 State=UP",
    "PartitionName=closed Nodes=ALL State=DOWN",
)
CORES = 16


@pytest.fixture(scope="module")
def site() -> Iterator[SlurmSite]:
    with SlurmSite(SiteSpec(nodes=1, index=free_index(), farnode=False, slurmd_timeout=5, extra_conf=CONF)) as running:
        yield running


@pytest.fixture
def bench(site: SlurmSite, tmp_path: Path) -> SlurmBench:
    return SlurmBench(site, tmp_path, patience=60.0)


async def reason(bench: SlurmBench, allocation: AllocationId, code: str) -> AllocationState:
    """Until Slurm gives this reason; it gives another first, or none."""
    while True:
        state = (await bench.provider.states([allocation]))[allocation]
        if state.reason == code:
            return state
        assert state.phase is not Phase.ENDED, state


async def test_a_partition_that_is_down_is_told_by_offer_and_job(bench: SlurmBench) -> None:
    offers = {offer.partition: offer.problem for offer in await bench.provider.inventory()}
    assert offers["main"] is None
    assert "down" in (offers["closed"] or "")
    async with submitted(bench, dataclasses.replace(job(bench), partition="closed")) as (allocation,):
        assert "opens it again" in (await reason(bench, allocation, "PartitionDown")).words


async def test_a_job_that_can_never_start_is_told(bench: SlurmBench) -> None:
    """Slurm's default is to accept what its partition will never run."""
    wanted = dataclasses.replace(job(bench), partition="short", walltime=7200)
    async with submitted(bench, wanted) as (allocation,):
        assert "never start" in (await reason(bench, allocation, "PartitionTimeLimit")).words


async def test_a_held_job_says_who_holds_it(bench: SlurmBench, site: SlurmSite) -> None:
    async with submitted(bench, dataclasses.replace(job(bench), partition="closed")) as (allocation,):
        site.run("alice", ["scontrol", "hold", str(allocation.job)])
        assert "scontrol release" in (await reason(bench, allocation, "JobHeldUser")).words
        site.run("root", ["scontrol", "hold", str(allocation.job)])
        assert "administrator" in (await reason(bench, allocation, "JobHeldAdmin")).words


async def test_a_job_put_back_by_an_administrator_is_queued_again(bench: SlurmBench, site: SlurmSite) -> None:
    wanted = job(bench)
    async with submitted(bench, wanted) as (allocation,):
        await started(bench, wanted)
        site.run("root", ["scontrol", "update", f"JobId={allocation.job}", "Requeue=1"])
        site.run("root", ["scontrol", "requeue", str(allocation.job)])
        state = (await until(bench, allocation, Phase.QUEUED))[-1]
        assert state.job == allocation.job
        assert state.words


async def test_a_preempted_job_is_told_apart(bench: SlurmBench) -> None:
    wanted = dataclasses.replace(job(bench), cores=CORES, partition="main")
    urgent = dataclasses.replace(job(bench), cores=CORES, partition="urgent")
    async with submitted(bench, wanted) as (allocation,):
        await started(bench, wanted)
        async with submitted(bench, urgent) as (other,):
            end = (await until(bench, allocation, Phase.ENDED))[-1]
            await until(bench, other, Phase.RUNNING)
    assert end.cause is Cause.PREEMPTED
    assert end.fenced


async def test_a_job_lost_with_its_node_may_live_on(bench: SlurmBench, site: SlurmSite) -> None:
    wanted = job(bench)
    async with submitted(bench, wanted) as (allocation,):
        await started(bench, wanted)
        site.kill_slurmd(1)
        end = (await until(bench, allocation, Phase.ENDED))[-1]
        assert end.cause is Cause.NODE_FAILURE
        assert not end.fenced
        assert any(wanted.job_name in process.environ.values() for process in site.processes(1)), "it does live on"
        site.start_slurmd(1)


async def test_an_id_that_came_again_is_not_taken_for_the_old_job(bench: SlurmBench, site: SlurmSite) -> None:
    """A controller killed right after a submission forgets it, and gives the same id to the next."""
    site.wait_idle()
    saved, state = "/root/saved", "/var/spool/slurmctld"
    site.run("root", ["cp", "-a", state, saved])
    async with submitted(bench, job(bench)) as (lost,):
        site.stop_slurmctld(signal.SIGKILL)
        site.run("root", ["sh", "-c", f"rm -rf {state}/* && cp -a {saved}/. {state}"])
        site.start_slurmctld()
        async with submitted(bench, job(bench)) as (other,):
            states = await bench.provider.states([lost, other])
    assert other.job == lost.job
    assert states[lost].phase is Phase.ABSENT
    assert not states[lost].fenced, "nobody has ended its processes yet"
    assert states[other].phase in (Phase.QUEUED, Phase.RUNNING)
