"""A small real batch job, submitted like any allocation but with a probe for a script, and what came of it."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from farnode.gateway.config import GatewayConfig
from farnode.gateway.doctor.finding import in_thread
from farnode.gateway.pack import pack
from farnode.model.allocation import AllocationId, AllocationRequest, AllocationState, GpuRequest, Phase, Refused
from farnode.model.offer import Offer
from farnode.providers.port import AllocationProvider, Site

Driver = Callable[[Site], AllocationProvider]
LOOK, ASK = 0.1, 1.0
"""Seconds between two looks at the spool, and between two questions to the batch system."""
ARRIVAL = 10.0
"""Seconds for what an ended job wrote to become visible here."""
ENDING = 60
"""Questions for a cancelled job to end before its directory is removed under it."""
WALLTIME = 300
MEMORY = 256 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """The job to be tried: of the size of nothing, in this offer."""

    offer: Offer
    gpu: GpuRequest | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known at the end. `report` is what the probe wrote; times are this host's, but for `answered_there`."""

    wanted: Wanted
    refused: str = ""
    state: AllocationState | None = None
    problem: str = ""
    begun: Mapping[str, Any] | None = None
    asked: float = 0.0
    answered: float = 0.0
    answered_there: float = 0.0
    report: Mapping[str, Any] | None = None

    @property
    def round_trip(self) -> float:
        """Seconds until a file written here had been seen there and one written there in turn been seen here."""
        return self.answered - self.asked

    @property
    def ahead(self) -> float:
        """Seconds the node's clock is ahead of this one's, give or take half the round trip."""
        return self.answered_there - (self.asked + self.answered) / 2


def wanted(offers: list[Offer]) -> list[Wanted]:
    """One job without GPUs; one with a GPU of the first type there is, because such nodes may be set up otherwise."""
    usable = sorted((offer for offer in offers if offer.problem is None), key=lambda offer: not offer.default)
    found = [Wanted(offer) for offer in usable[:1]]
    with_gpus = next((offer for offer in usable if offer.gpus), None)
    if with_gpus is not None:
        gpu = with_gpus.gpus[0]
        found.append(Wanted(with_gpus, GpuRequest(gpu.vendor, gpu.model, 1)))
    return found


@dataclass(frozen=True, slots=True)
class Trial:
    """How jobs are tried. `task` tells the probe whom to dial; `patience` in seconds, for waiting and running."""

    config: GatewayConfig
    task: Mapping[str, Any]
    patience: float

    async def run(self, driver: Driver, private: Path, wanted: Wanted) -> Outcome:
        """One job, from submission to removal. `private` is a local directory for the driver; OSError when the spool
        cannot be used."""
        nonce = secrets.token_hex(8)
        directory = self.config.spool / f"doctor-{nonce}"
        own = private / nonce
        own.mkdir()
        await in_thread(lambda: self._prepare(directory))
        try:
            provider = driver(Site(self.config.site, directory / "probe.sh", own))
            return await self._submit(provider, self._request(nonce, directory, wanted), wanted)
        finally:
            await in_thread(lambda: shutil.rmtree(directory, ignore_errors=True))

    def _prepare(self, directory: Path) -> None:
        directory.mkdir(mode=0o700)
        here = files("farnode.gateway.doctor")
        for name in ("probe.sh", "probe.py"):
            (directory / name).write_bytes(here.joinpath(name).read_bytes())
        (directory / "runner.pyz").write_bytes(pack())
        (directory / "task.json").write_text(json.dumps(self.task))

    async def _submit(self, provider: AllocationProvider, request: AllocationRequest, wanted: Wanted) -> Outcome:
        await provider.inventory()  # a driver may know names of partitions and accounts only from its last inventory
        (answer,) = await provider.submit([request])
        if isinstance(answer, Refused):
            return Outcome(wanted, refused=answer.words)
        try:
            return await Follower(provider, answer, Path(request.directory), Outcome(wanted), self.patience).follow()
        finally:
            await _end(provider, answer)

    def _request(self, nonce: str, directory: Path, wanted: Wanted) -> AllocationRequest:
        offer = wanted.offer
        return AllocationRequest(
            nonce=nonce,
            cores=1,
            memory=min(MEMORY, offer.memory),
            directory=str(directory),
            gpu=wanted.gpu,
            walltime=min(WALLTIME, offer.max_walltime or WALLTIME),
            partition=offer.partition,
            account=offer.accounts[0] if offer.accounts else None,
            comment=f"farnode site={self.config.site} doctor",
            environment={"FARNODE_ALLOCATION": str(directory), "FARNODE_PYTHON": self.config.python},
        )


async def _end(provider: AllocationProvider, job: AllocationId) -> None:
    """Cancelled, and waited for: its directory is removed next."""
    await provider.cancel([job])
    for _ in range(ENDING):
        if (await provider.states([job]))[job].phase in (Phase.ENDED, Phase.ABSENT):
            return
        await asyncio.sleep(ASK)


class Follower:
    """Watches one job: its files on the spool, its state at the batch system."""

    def __init__(
        self, provider: AllocationProvider, job: AllocationId, directory: Path, outcome: Outcome, patience: float
    ) -> None:
        self._provider = provider
        self._job = job
        self._directory = directory
        self._outcome = outcome
        self._clock = asyncio.get_running_loop().time
        self._until = self._clock() + patience
        self._ask_at = 0.0

    async def follow(self) -> Outcome:
        """Until the probe has reported, or the job has ended without, or patience has."""
        while self._clock() < self._until and not self._outcome.report:
            self._outcome = await in_thread(self._look)
            if self._clock() >= self._ask_at:
                await self._ask()
            await asyncio.sleep(LOOK)
        return self._outcome

    async def _ask(self) -> None:
        self._ask_at = self._clock() + ASK
        known = await self._provider.states([self._job])
        before, now = self._outcome.state, known[self._job]
        self._outcome = replace(self._outcome, state=now)
        if now.phase is Phase.ENDED and (before is None or before.phase is not Phase.ENDED):
            self._until = min(self._until, self._clock() + ARRIVAL)

    def _look(self) -> Outcome:
        outcome, now = self._outcome, time.time()
        if outcome.begun is None and (begun := self._read("begun")):
            question = self._directory / "question.json"
            question.with_suffix(".new").write_text("{}")
            question.with_suffix(".new").rename(question)  # the probe reads it the moment it is there
            outcome = replace(outcome, begun=begun, asked=time.time())
        if outcome.begun and not outcome.answered and (there := self._read("answer")):
            outcome = replace(outcome, answered=now, answered_there=there["time"])
        return replace(outcome, report=self._read("report"), problem=self._problem())

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            content: dict[str, Any] = json.loads((self._directory / f"{name}.json").read_bytes())
        except FileNotFoundError:
            return None
        return content

    def _problem(self) -> str:
        """What the probe's shell had to say; its output may also hold the batch system's own words."""
        for name in ("problem", "job.out"):
            path = self._directory / name
            if path.exists() and (text := path.read_text(errors="replace").strip()):
                return text[-500:]
        return ""
