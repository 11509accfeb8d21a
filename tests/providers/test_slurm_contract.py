"""The Slurm driver keeps the contract on a real Slurm, and finds its jobs again after the controller's faults."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from farnode.errors import Transient
from farnode.model.allocation import AllocationId, GpuRequest, Phase, Refused
from farnode.testing import Bench, ProviderContract
from farnode.testing.provider_contract import job, seen_at, submitted, until
from tests.providers.slurm_site import SlurmBench
from tests.testbed import SiteSpec, SlurmSite, free_index

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("apt-get") is None, reason="the testbed needs root on a Debian machine"
    ),
]
IMPATIENT = ("MessageTimeout=3",)  # a controller that hangs is given up earlier


@pytest.fixture(scope="module", params=[True, False], ids=["accounting", "no accounting"])
def site(request: pytest.FixtureRequest) -> Iterator[SlurmSite]:
    spec = SiteSpec(nodes=2, accounting=request.param, index=free_index(), farnode=False, extra_conf=IMPATIENT)
    with SlurmSite(spec) as running:
        yield running


class TestSlurm(ProviderContract):
    @pytest.fixture
    def bench(self, site: SlurmSite, tmp_path: Path) -> Bench:
        return SlurmBench(site, tmp_path)

    async def test_gpus_are_offered_and_given(self, site: SlurmSite, tmp_path: Path) -> None:
        bench = SlurmBench(site, tmp_path)
        offers = {offer.name: offer for offer in await bench.provider.inventory()}
        assert [(gpu.model, gpu.count) for gpu in offers["main.h100x2-a100x2"].gpus] == [("h100", 2), ("a100", 2)]
        request = dataclasses.replace(job(bench, code=0), gpu=GpuRequest("nvidia.com", "a100", 3), partition="main")
        async with submitted(bench, request) as (allocation,):
            end = (await until(bench, allocation, Phase.ENDED))[-1]
        assert end.nodes == ("n1",)
        environment = (seen_at(bench, request) / "environment").read_text().split("\0")
        assert "CUDA_VISIBLE_DEVICES=0,1,2" in environment

    async def test_the_accounts_are_this_users(self, site: SlurmSite, tmp_path: Path) -> None:
        offers = await SlurmBench(site, tmp_path).provider.inventory()
        assert {offer.partition: offer.max_walltime for offer in offers} == {"main": None, "short": 600}
        for offer in offers:
            if site.spec.accounting:
                assert offer.accounts == ("proj1",)
                assert offer.qos == ("normal", "high", "short")
            else:
                assert offer.accounts == offer.qos == ()

    async def test_a_limit_of_the_moment_may_be_tried_again(self, site: SlurmSite, tmp_path: Path) -> None:
        if not site.spec.accounting:
            return
        bench = SlurmBench(site, tmp_path)
        requests = [dataclasses.replace(job(bench), qos="short", walltime=60) for _ in range(4)]
        answers = await bench.provider.submit(requests)
        await bench.provider.cancel([answer for answer in answers if isinstance(answer, AllocationId)])
        (refused,) = [answer for answer in answers if isinstance(answer, Refused)]
        assert refused.again
        assert "as many jobs" in refused.words

    async def test_when_it_would_start(self, site: SlurmSite, tmp_path: Path) -> None:
        bench = SlurmBench(site, tmp_path)
        possible, impossible = job(bench), dataclasses.replace(job(bench), cores=1000)
        first, second = await bench.provider.estimate([possible, impossible])
        assert first.at is not None
        assert second.at is None
        assert second.words

    async def test_a_submission_nobody_confirmed_is_found_by_its_name(self, site: SlurmSite, tmp_path: Path) -> None:
        bench = SlurmBench(site, tmp_path)
        await bench.provider.inventory()
        request = job(bench)
        site.stop_slurmctld(signal.SIGSTOP)
        try:
            (answer,) = await bench.provider.submit([request])
        finally:
            site.stop_slurmctld(signal.SIGCONT)
        assert answer == AllocationId(request.nonce)
        assert isinstance(answer, AllocationId)
        state = (await until(bench, answer, Phase.RUNNING))[-1]
        assert state.job is not None
        await bench.provider.cancel([answer])
        await until(bench, answer, Phase.ENDED)

    async def test_a_dead_controller_is_said_to_be_away(self, site: SlurmSite, tmp_path: Path) -> None:
        bench = SlurmBench(site, tmp_path)
        site.stop_slurmctld()
        try:
            with pytest.raises(Transient, match="does not answer"):
                await bench.provider.submit([job(bench), job(bench)])
            for call in (bench.provider.states, bench.provider.cancel):
                with pytest.raises(Transient, match="Unable to contact slurm controller"):
                    await call([AllocationId("never")])
        finally:
            site.start_slurmctld()
