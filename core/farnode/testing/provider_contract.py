"""What every driver for a batch system must do, as tests that run against the real thing.

::

    class TestMine(ProviderContract):
        @pytest.fixture
        async def bench(self, tmp_path) -> Bench:
            ...

A driver passes when its class collects no failure. The jobs really run; nothing is faked but what they do (JOB_SCRIPT).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from farnode.model.allocation import AllocationId, AllocationRequest, AllocationState, Cause, Phase, Refused
from farnode.providers.port import AllocationProvider

JOB_SCRIPT = r"""#!/bin/sh
# What the contract's jobs do, instead of starting a runner. CONTRACT_CODE: end with this exit code at once.
[ -z "$SLURM_ARRAY_TASK_ID" ] || cd "$FARNODE_ALLOCATION-$SLURM_ARRAY_TASK_ID" || exit
env -0 >environment.new && mv environment.new environment
echo this is standard output
echo this is standard error >&2
trap 'echo TERM >signalled; exit 143' TERM
[ -z "$CONTRACT_CODE" ] || exit "$CONTRACT_CODE"
while :; do sleep 0.05 & wait "$!"; done
"""
"""Goes to the path the driver was given as `Site.script`."""

ORDER = (Phase.QUEUED, Phase.RUNNING, Phase.ENDED)
AWKWARD = {
    "FARNODE_PLAIN": "a b  c",
    "FARNODE_QUOTES": "'single' \"double\" `backtick` $HOME $(id) \\n",
    "FARNODE_LINES": "one\ntwo\n",
    "FARNODE_COMMAS": "a,b=c,ALL",
    "FARNODE_LETTERS": "Grüße, 你好",
    "FARNODE_EMPTY": "",
}


class Bench(Protocol):
    """What the contract needs of whoever runs it."""

    @property
    def provider(self) -> AllocationProvider: ...

    @property
    def patience(self) -> float:
        """Seconds a change of state may take there."""
        ...

    def directory(self, name: str) -> tuple[str, Path]:
        """Make a directory in which jobs can write: its path as they see it, and as the test does."""
        ...


class ProviderContract:
    """Subclasses give the fixture `bench`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def bench(self) -> Bench:
        raise NotImplementedError("give a fixture `bench`")

    async def test_the_inventory_is_sane(self, bench: Bench) -> None:
        offers = await bench.provider.inventory()
        assert offers
        assert len({offer.name for offer in offers}) == len(offers)
        for offer in offers:
            assert offer.cores > 0
            assert offer.memory > 1 << 20, "bytes, not mebibytes"
            assert offer.nodes > 0
            assert all(gpu.count > 0 and "." in gpu.vendor for gpu in offer.gpus)

    async def test_a_job_is_queued_runs_and_ends(self, bench: Bench) -> None:
        async with submitted(bench, job(bench, code=0)) as (allocation,):
            seen = await until(bench, allocation, Phase.ENDED)
        phases = [ORDER.index(state.phase) for state in seen]
        assert phases == sorted(phases)
        end = seen[-1]
        assert end.cause is Cause.COMPLETED
        assert end.job == allocation.job
        assert end.words

    async def test_a_failed_script_is_told_apart(self, bench: Bench) -> None:
        async with submitted(bench, job(bench, code=7)) as (allocation,):
            end = (await until(bench, allocation, Phase.ENDED))[-1]
        assert end.cause is Cause.FAILED
        assert end.words

    async def test_answers_come_in_order_and_a_bad_request_spoils_no_other(self, bench: Bench) -> None:
        good, bad, other = job(bench, code=0), job(bench, code=0, partition="no-such-partition"), job(bench, code=0)
        first, refused, last = await bench.provider.submit([good, bad, other])
        assert isinstance(first, AllocationId)
        assert isinstance(last, AllocationId)
        assert (first.nonce, last.nonce) == (good.nonce, other.nonce)
        assert isinstance(refused, Refused)
        assert refused.words
        assert not refused.again
        for allocation in (first, last):
            assert (await until(bench, allocation, Phase.ENDED))[-1].cause is Cause.COMPLETED

    async def test_a_job_is_found_by_its_nonce_alone(self, bench: Bench) -> None:
        async with submitted(bench, job(bench)) as (allocation,):
            unknown_job = AllocationId(allocation.nonce)
            both = await bench.provider.states([allocation, unknown_job])
            assert both[unknown_job].job == allocation.job
            await until(bench, unknown_job, Phase.RUNNING)

    async def test_what_was_never_submitted_is_absent(self, bench: Bench) -> None:
        async with submitted(bench, job(bench)) as (allocation,):
            never, reused = AllocationId(nonce()), AllocationId(nonce(), allocation.job)
            states = await bench.provider.states([never, reused])
        assert states[never].phase is Phase.ABSENT
        assert states[reused].phase is Phase.ABSENT, "an id counts only with its name"

    async def test_nothing_is_asked_of_nothing(self, bench: Bench) -> None:
        assert list(await bench.provider.submit([])) == []
        assert dict(await bench.provider.states([])) == {}
        await bench.provider.cancel([])

    async def test_cancelling_ends_a_job_by_sigterm(self, bench: Bench) -> None:
        request = job(bench)
        async with submitted(bench, request) as (allocation,):
            await started(bench, request)
            await bench.provider.cancel([AllocationId(nonce()), allocation])
            await bench.provider.cancel([allocation])
            end = (await until(bench, allocation, Phase.ENDED))[-1]
            await bench.provider.cancel([allocation])
        assert end.cause is Cause.CANCELLED
        assert end.words
        assert (seen_at(bench, request) / "signalled").read_text() == "TERM\n"

    async def test_cancelling_needs_no_job_id(self, bench: Bench) -> None:
        request = job(bench)
        async with submitted(bench, request) as (allocation,):
            await bench.provider.cancel([AllocationId(request.nonce)])
            assert (await until(bench, allocation, Phase.ENDED))[-1].cause is Cause.CANCELLED

    async def test_the_script_gets_its_environment_and_nothing_of_ours(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GATEWAYS_OWN", "secret")
        request = job(bench, code=0, environment=AWKWARD)
        async with submitted(bench, request) as (allocation,):
            await until(bench, allocation, Phase.ENDED)
        text = (seen_at(bench, request) / "environment").read_bytes().decode()
        environment = dict(pair.split("=", 1) for pair in text.split("\0") if pair)
        assert {name: environment.get(name) for name in AWKWARD} == AWKWARD
        assert "GATEWAYS_OWN" not in environment
        assert {"PATH", "HOME", "USER"} <= environment.keys()

    async def test_the_scripts_output_is_in_its_directory(self, bench: Bench) -> None:
        request = job(bench, code=0, name="50% of it")
        async with submitted(bench, request) as (allocation,):
            await until(bench, allocation, Phase.ENDED)
        output = (seen_at(bench, request) / "job.out").read_text()
        assert "this is standard output" in output
        assert "this is standard error" in output

    async def test_many_at_once(self, bench: Bench) -> None:
        requests = [job(bench, code=0) for _ in range(20)]
        async with submitted(bench, *requests) as allocations:
            assert [allocation.nonce for allocation in allocations] == [request.nonce for request in requests]
            for allocation in allocations:
                await until(bench, allocation, Phase.ENDED)

    async def test_those_of_one_base_are_jobs_of_their_own(self, bench: Bench) -> None:
        base = nonce()
        requests = [job(bench, own=f"{base}-{index}") for index in range(4)]
        async with submitted(bench, *requests) as allocations:
            assert [allocation.nonce for allocation in allocations] == [request.nonce for request in requests]
            assert len({allocation.job for allocation in allocations}) == 4
            for request in requests:
                await started(bench, request)
            first, second, *others = allocations
            await bench.provider.cancel([first])
            assert (await until(bench, first, Phase.ENDED))[-1].cause is Cause.CANCELLED
            unknown_job = AllocationId(second.nonce)
            states = await bench.provider.states([second, unknown_job, *others])
            assert {state.phase for state in states.values()} == {Phase.RUNNING}
            assert states[unknown_job].job == second.job
            await bench.provider.cancel([unknown_job, *others])
            for allocation in (second, *others):
                assert (await until(bench, allocation, Phase.ENDED))[-1].cause is Cause.CANCELLED
        for request in requests:
            assert (seen_at(bench, request) / "signalled").read_text() == "TERM\n"
            assert "this is standard output" in (seen_at(bench, request) / "job.out").read_text()


def nonce() -> str:
    return secrets.token_hex(8)


def job(
    bench: Bench,
    *,
    code: int | None = None,
    name: str = "allocation",
    partition: str | None = None,
    environment: dict[str, str] | None = None,
    own: str | None = None,
) -> AllocationRequest:
    """A small job: ends with `code` at once, or runs until it is ended. `own` is its nonce, where that matters."""
    own = own or nonce()
    inside, _ = bench.directory(f"{name}-{own}")
    code_given = {"CONTRACT_CODE": "" if code is None else str(code)}
    given = {**(environment or {}), **code_given, "FARNODE_ALLOCATION": inside}
    return AllocationRequest(own, 1, 64 << 20, inside, walltime=600, partition=partition, environment=given)


def seen_at(bench: Bench, request: AllocationRequest) -> Path:
    return bench.directory(Path(request.directory).name)[1]


@asynccontextmanager
async def submitted(bench: Bench, *requests: AllocationRequest) -> AsyncIterator[Sequence[AllocationId]]:
    """Allocations that are cancelled at the end, whatever happened."""
    answers = await bench.provider.submit(requests)
    allocations = [answer for answer in answers if isinstance(answer, AllocationId)]
    try:
        assert len(allocations) == len(answers), answers
        yield allocations
    finally:
        await bench.provider.cancel(allocations)


async def until(bench: Bench, allocation: AllocationId, phase: Phase) -> list[AllocationState]:
    """All different states seen until one of this phase."""
    seen: list[AllocationState] = []
    deadline = time.monotonic() + bench.patience
    while not seen or seen[-1].phase is not phase:
        assert time.monotonic() < deadline, f"{allocation} did not become {phase.value}: {seen[-1:]}"
        state = (await bench.provider.states([allocation]))[allocation]
        if not seen or state != seen[-1]:
            seen.append(state)
        await asyncio.sleep(0.02)
    return seen


async def started(bench: Bench, request: AllocationRequest) -> None:
    """Until the script has begun; it may be a moment behind the batch system's word that it runs."""
    deadline = time.monotonic() + bench.patience
    while not (seen_at(bench, request) / "environment").exists():
        assert time.monotonic() < deadline, f"{request.job_name} did not begin"
        await bench.provider.states([AllocationId(request.nonce)])
        await asyncio.sleep(0.02)
