"""The port in front of Slurm's commands: which are called, how many at once, and what each of their failures means."""

from __future__ import annotations

import asyncio
import os
import pwd
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from farnode.errors import Transient, Unreachable
from farnode.model.allocation import AllocationId, AllocationRequest, AllocationState, Refused
from farnode.model.offer import Offer
from farnode.providers.port import Calls, Site, StartEstimate
from farnode.providers.slurm import states
from farnode.providers.slurm.budget import Budget, Urgency
from farnode.providers.slurm.cancel import by_name
from farnode.providers.slurm.command import UNREACHABLE, Output, Slurm
from farnode.providers.slurm.estimate import estimated
from farnode.providers.slurm.inventory import mismatch
from farnode.providers.slurm.ledger import Ledger
from farnode.providers.slurm.refusals import TOO_MANY, refusal
from farnode.providers.slurm.settings import SlurmSettings, check_tools
from farnode.providers.slurm.submission import Submission, submissions
from farnode.providers.slurm.submit import answers, environment, sbatch
from farnode.providers.slurm.survey import Survey

AT_ONCE = 8
"""sbatch processes; beyond it they only wait for each other in the controller."""
AWAY = Refused("Slurm's controller does not answer; it is asked again", again=True)
OUTPUT_AWAY = Output(1, "", UNREACHABLE[0])


@dataclass(frozen=True, slots=True)
class User:
    """Whose jobs they are."""

    name: str
    home: str

    @classmethod
    def current(cls) -> Self:
        entry = pwd.getpwuid(os.getuid())
        return cls(entry.pw_name, entry.pw_dir)


class SlurmProvider:
    """Slurm by its commands, as an ordinary user. `clock` gives seconds since the epoch."""

    def __init__(
        self, settings: SlurmSettings, site: Site, *, user: User | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._script = site.script
        self._user = user or User.current()
        self._clock = clock
        budget = Budget(settings.burst, settings.calls_per_minute, ledger=Ledger(site.state / "slurm-calls"))
        self._slurm = Slurm(budget, settings.timeout, settings.tools)
        self._survey = Survey(self._slurm, settings, self._user.name, clock)
        self._at_once = asyncio.Semaphore(AT_ONCE)

    @classmethod
    def create(cls, settings: Mapping[str, Any], site: Site) -> Self:
        read = SlurmSettings.read(settings)
        check_tools(read.tools)
        return cls(read, site)

    async def submit(self, wanted: Sequence[AllocationRequest]) -> Sequence[AllocationId | Refused]:
        kill_wait = {"FARNODE_KILL_WAIT": self._survey.kill_wait}
        requests = [
            replace(request, environment={**kill_wait, **request.environment})
            for request in map(self._completed, wanted)
        ]
        offers = await self._survey.fitting(requests)
        away = asyncio.Event()
        made = submissions(requests, self._survey.largest_array)
        heard = await asyncio.gather(*(self._submit(submission, offers, away) for submission in made))
        told = {
            request.nonce: each
            for submission, several in zip(made, heard, strict=True)
            for request, each in zip(submission.requests, several, strict=True)
        }
        if told and all(each is AWAY for each in told.values()):
            raise Unreachable(AWAY.words)
        return [told[request.nonce] for request in wanted]

    async def _submit(
        self, submission: Submission, offers: Sequence[Offer], away: asyncio.Event
    ) -> list[AllocationId | Refused]:
        """Of an array that is too large for a limit the first half is tried again, and so on; the rest is refused."""
        if (refused := mismatch(submission.first, offers)) is not None:
            return [refused] * len(submission.requests)
        cut: list[AllocationId | Refused] = []
        output = await self._tried(submission, away)
        while output is not None and submission.divisible and output.code and output.said(TOO_MANY):
            submission, rest = submission.halves()
            cut += [refusal(output.err)] * len(rest.requests)
            output = await self._tried(submission, away)
        if output is None:
            return [*submission.ids(None), *cut]
        if output.away:
            return [AWAY] * len(submission.requests) + cut
        return answers(submission, output) + cut

    async def _tried(self, submission: Submission, away: asyncio.Event) -> Output | None:
        """None when nobody knows what became of it. Once the controller is away nobody else waits for it to say so
        again: that takes 9 s each."""
        async with self._at_once:
            if away.is_set():
                return OUTPUT_AWAY
            try:
                output = await self._sbatch(Urgency.SUBMIT, submission)
            except Transient:
                return None
        if output.away:
            away.set()
        return output

    async def estimate(self, wanted: Sequence[AllocationRequest]) -> Sequence[StartEstimate]:
        requests = [self._completed(request) for request in wanted]
        offers = await self._survey.fitting(requests)
        return await asyncio.gather(*(self._estimate(request, offers) for request in requests))

    async def _estimate(self, request: AllocationRequest, offers: Sequence[Offer]) -> StartEstimate:
        if (refused := mismatch(request, offers)) is not None:
            return StartEstimate(None, refused.words)
        async with self._at_once:
            (submission,) = submissions([request], self._survey.largest_array)
            output = await self._sbatch(Urgency.QUERY, submission, "--test-only")
        if output.away or output.unclear:
            raise Unreachable(f"sbatch --test-only failed: {output.words}")
        return estimated(output, self._clock())

    async def cancel(self, ids: Collection[AllocationId]) -> None:
        """By name: an id may have been given to another job since. Slurm takes one name a call, so of jobs with
        several names it is first asked which of the ids still carry them."""
        if not ids:
            return
        command = by_name(ids)
        if command is None:
            listed = states.Jobs(states.parse(await self._slurm.ask(states.SQUEUE, Urgency.CANCEL)))
            jobs = {job.id for each in ids if (job := listed.find(each)) is not None and states.alive(job)}
            command = ["scancel", *sorted(jobs)] if jobs else None
        if command is None:
            return
        output = await self._slurm.call(Urgency.CANCEL, command)
        if output.away or output.unclear:
            raise Unreachable(f"scancel failed: {output.words}")

    async def states(self, ids: Collection[AllocationId]) -> Mapping[AllocationId, AllocationState]:
        if not ids:
            return {}
        known = await self._present(ids)
        if missing := [each for each in ids if each not in known]:
            known |= await self._past(missing)
        return known

    async def _present(self, ids: Collection[AllocationId]) -> dict[AllocationId, AllocationState]:
        jobs = states.Jobs(states.parse(await self._slurm.ask(states.SQUEUE)))
        return states.found(ids, jobs, self._clock())

    async def _past(self, missing: Collection[AllocationId]) -> dict[AllocationId, AllocationState]:
        """Those the controller has forgotten, from accounting where there is one that answers. A job that accounting
        calls alive may have been submitted after squeue had answered; else its record was lost in a crash."""
        unknown = {each: states.absent(each, states.UNKNOWN) for each in missing}
        if not await self._survey.accounts():
            return unknown
        try:
            text = await self._slurm.ask(states.sacct(missing))
        except Transient as error:
            return {
                each: states.absent(each, f"{states.UNKNOWN}, and its accounting fails: {error}") for each in missing
            }
        past = states.found(missing, states.Jobs(states.parse(text)), self._clock())
        if alive := states.live(past):
            past |= {each: states.absent(each, states.LOST) for each in alive} | await self._present(alive)
        return unknown | past

    async def inventory(self) -> Sequence[Offer]:
        return await self._survey.offers()

    async def version(self) -> str:
        return (await self._slurm.ask(["sbatch", "--version"])).strip()

    def calls(self) -> Calls:
        return self._slurm.calls()

    async def _sbatch(self, urgency: Urgency, submission: Submission, *more: str) -> Output:
        """With the job's environment as its own. Of an estimate the times are in UTC."""
        base = {"HOME": self._user.home, "USER": self._user.name, "LOGNAME": self._user.name}
        zone = {"TZ": "UTC"} if more else {}
        argv = sbatch(submission, self._script, *more)
        own = environment(submission, self._script, self._slurm.located("srun"))
        return await self._slurm.call(urgency, argv, {**base, **own, **zone})

    def _completed(self, request: AllocationRequest) -> AllocationRequest:
        own = self._settings
        return replace(request, account=request.account or own.account, qos=request.qos or own.qos)
