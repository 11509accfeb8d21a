"""All checks of one site, in the order a person would make them."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path

from farnode.errors import FarnodeError, Invalid
from farnode.gateway.config import GatewayConfig, load
from farnode.gateway.doctor import batch, directories, images, report
from farnode.gateway.doctor.finding import Finding, bounded, fail, ok
from farnode.gateway.doctor.listener import listening
from farnode.gateway.doctor.trial import Driver, Trial, Wanted, wanted
from farnode.gateway.main import load_provider
from farnode.model.offer import Offer
from farnode.providers.port import AllocationProvider, Site

CONFIGURATION, JOB = "configuration", "job"
CHECK_TIMEOUT = 60.0
QUEUE_PATIENCE = 300.0
"""Seconds the jobs may wait and run; both are in the queue at the same time."""


def examine(config_path: Path, patience: float = QUEUE_PATIENCE) -> list[Finding]:
    """All findings about the site this file configures; nothing is raised for what is wrong with it."""
    return list(examining(config_path, patience))


def examining(config_path: Path, patience: float = QUEUE_PATIENCE) -> Iterator[Finding]:
    """The same, one by one as they are found: somebody may be watching."""
    with asyncio.Runner() as runner:
        findings = _examined(config_path, patience)

        async def following() -> Finding | None:
            return await anext(findings, None)

        try:
            while (finding := runner.run(following())) is not None:
                yield finding
        finally:
            runner.run(findings.aclose())


async def _examined(path: Path, patience: float) -> AsyncGenerator[Finding]:
    try:
        config = load(path)
    except Invalid as error:
        yield fail(CONFIGURATION, str(error), f"correct {path}")
        return
    yield ok(CONFIGURATION, f"{path} configures the site {config.site}")
    for name, check in (
        (directories.STATE, directories.state),
        (directories.GATEWAY, directories.gateway),
        (directories.SPOOL, directories.spool),
        (images.TOOL, images.tool),
        (images.PREPARED, images.prepared),
        (images.REGISTRY, images.registries),
    ):
        for finding in await bounded(name, check(config), CHECK_TIMEOUT):
            yield finding
    async with aclosing(_batch(config, patience)) as findings:
        async for finding in findings:
            yield finding


async def _batch(config: GatewayConfig, patience: float) -> AsyncGenerator[Finding]:
    """The batch system by a driver of our own, whose records are not the gateway's and go when this is over."""
    with tempfile.TemporaryDirectory(prefix="farnode-doctor-") as private:
        try:
            provider = _driver(config)(Site(config.site, Path(private, "none"), Path(private)))
        except FarnodeError as error:
            yield fail(batch.BATCH, str(error), "correct `provider`, or have the batch system's tools put on PATH")
            return
        offers: list[Offer] = []
        for finding in await bounded(batch.BATCH, _asked(provider, config, offers), CHECK_TIMEOUT):
            yield finding
        if offers:
            for finding in await _tried(config, offers, Path(private), patience):
                yield finding


async def _asked(provider: AllocationProvider, config: GatewayConfig, offers: list[Offer]) -> list[Finding]:
    answered = await batch.answers(provider, config.provider.kind)
    offers += await provider.inventory()
    return [*answered, *batch.offered(offers)]


async def _tried(config: GatewayConfig, offers: list[Offer], private: Path, patience: float) -> list[Finding]:
    """The jobs, in the queue at the same time."""
    try:
        with directories.present(config.spool):
            async with listening(config) as task, asyncio.TaskGroup() as group:
                trial = functools.partial(_try, Trial(config, task, patience), config, private)
                tasks = [
                    group.create_task(bounded(JOB, trial(job), patience + CHECK_TIMEOUT)) for job in wanted(offers)
                ]
    except OSError as error:
        advice = "correct `spool`, or `runners.listen` where another program has its port"
        return [fail(JOB, f"not tried: {error}", advice)]
    return [finding for task in tasks for finding in task.result()]


async def _try(trial: Trial, config: GatewayConfig, private: Path, job: Wanted) -> list[Finding]:
    return report.findings(config, await trial.run(_driver(config), private, job))


def _driver(config: GatewayConfig) -> Driver:
    return lambda site: load_provider(config, site)
