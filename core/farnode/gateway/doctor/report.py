"""Findings from what the job saw on its compute node. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from farnode.gateway.config import GatewayConfig
from farnode.gateway.doctor.finding import Finding, fail, ok, warn
from farnode.gateway.doctor.trial import Outcome
from farnode.model.allocation import Phase

SLOW = 5.0
"""Seconds of the spool's delay, or between two clocks, from which on a person should know."""


def job_name(outcome: Outcome) -> str:
    gpu = outcome.wanted.gpu
    return f"job with a GPU ({gpu.model or gpu.vendor})" if gpu else "job"


def findings(config: GatewayConfig, outcome: Outcome) -> list[Finding]:
    """All that can be said; of a job with a GPU only what concerns GPUs, unless it came to nothing."""
    name = job_name(outcome)
    if outcome.report is None:
        return [_nothing(name, config, outcome)]
    node = outcome.report["node"]
    found = [ok(name, f"ran on node {node}" + (f" of {offer}" if (offer := outcome.wanted.offer.partition) else ""))]
    if outcome.wanted.gpu:
        return [*found, *_gpus(outcome.report)]
    return [*found, *_node(config, outcome, outcome.report)]


def _nothing(name: str, config: GatewayConfig, outcome: Outcome) -> Finding:
    state = outcome.state
    says = ": ".join(part for part in (state.reason, state.words) if part) if state else "its state is unknown"
    if outcome.refused:
        return fail(name, outcome.refused, "correct `provider`, or ask the site for what is missing")
    if outcome.problem:
        return fail(name, outcome.problem, _advice(config, outcome.problem))
    if state is None or state.phase is Phase.QUEUED:
        return warn(name, f"still waits in the queue ({says})", "run this again when the queue is shorter")
    if outcome.begun:
        words = f"began on node {outcome.begun['node']}, and then nothing more came ({says})"
        return fail(name, words, f"see whether {config.spool} is writable and has room on that node")
    where = f" on {', '.join(state.nodes)}" if state.nodes else ""
    return fail(
        name,
        f"ran{where}, and nothing it wrote has arrived in {config.spool} ({state.reason or says})",
        "set `spool` to a directory that this host and compute nodes share, usually one below your home",
    )


def _advice(config: GatewayConfig, problem: str) -> str:
    if "no Python" in problem:
        return f"set `python` to an interpreter of compute nodes; {config.python} is none there"
    return f"see whether {config.spool} is the same directory on compute nodes"


def _node(config: GatewayConfig, outcome: Outcome, report: Mapping[str, Any]) -> Iterator[Finding]:
    yield _python(config, report)
    yield from _spool(config, outcome)
    yield _address(config, report)
    yield from _runtimes(config, report)


def _python(config: GatewayConfig, report: Mapping[str, Any]) -> Finding:
    words = f"{report['python']} is Python {report['version']}"
    if broken := report.get("broken"):
        return fail("python", f"{words}, and the runner cannot be loaded by it: {broken}", "set `python` to another")
    if report["python"] != config.python:
        return warn("python", f"{words}; {config.python} cannot be used there", f"set `python: {report['python']}`")
    return ok("python", words)


def _spool(config: GatewayConfig, outcome: Outcome) -> Iterator[Finding]:
    if not outcome.answered:
        words = f"a file written here was not seen there: {config.spool} is shared one way only, or very late"
        yield fail("shared spool", words, "set `spool` to another shared directory")
        return
    delay, ahead = outcome.round_trip, outcome.ahead
    words = f"a file went there and back in {delay:.1f} s"
    if delay > SLOW:
        advice = "pods are none the slower for it; logs of ended ones may be late. Mount options (actimeo) decide"
        yield warn("shared spool", words, advice)
    else:
        yield ok("shared spool", words)
    words = f"the node's is {abs(ahead):.1f} s {'ahead' if ahead > 0 else 'behind'} (±{delay / 2:.1f} s)"
    if abs(ahead) > SLOW + delay / 2:
        yield warn("clock", words, "have the site's time service looked at; times shown for pods are off by this")
    else:
        yield ok("clock", words)


def _address(config: GatewayConfig, report: Mapping[str, Any]) -> Finding:
    host = config.runners.advertise
    if not report["dialled"]:
        return ok("runners' address", f"{host} is reached from the node")
    advice = "set `runners.advertise` to a name or address of this host that compute nodes reach"
    return fail("runners' address", report["dialled"], advice + ", and open the port of `runners.listen`")


def _runtimes(config: GatewayConfig, report: Mapping[str, Any]) -> Iterator[Finding]:
    there: Mapping[str, str] = report.get("runtimes", {})
    usable = [name for name in config.runtimes if name in there]
    missing = [name for name in config.runtimes if name not in there]
    problems = report.get("problems", {})
    words = "; ".join(f"{name}: {problems.get(name, 'does not work')}" for name in missing)
    if not usable:
        advice = "have one of them put on compute nodes, or allow one that works there in `runtimes`"
        others = ", ".join(sorted(there))
        yield fail("runtimes", f"none works there: {words}", advice + (f": {others}" if others else ""))
    elif missing:
        advice = "" if any(name != "process" for name in usable) else "pods that need an image cannot run on such nodes"
        yield warn("runtimes", f"{', '.join(usable)} works there, not {words}", advice)
    else:
        yield ok("runtimes", "; ".join(f"{name} ({there[name]})" for name in usable))
    yield from _namespaces(report)
    if "apptainer" in usable and config.images.format == "sif" and report.get("sif"):
        yield warn("SIF files", f"{report['sif']}, so they cannot be mounted", "set `images.format: directory`")


def _namespaces(report: Mapping[str, Any]) -> Iterator[Finding]:
    if not (problem := report.get("namespaces")):
        return
    advice = "ask for unprivileged user namespaces (user.max_user_namespaces); without them no volume is mounted"
    yield warn("user namespaces", problem, advice + " in pods of the runtime `process`")


def _gpus(report: Mapping[str, Any]) -> Iterator[Finding]:
    devices = report.get("devices", [])
    variables = ", ".join(f"{name}={value}" for name, value in report.get("variables", {}).items())
    if len(devices) == 1:
        yield ok("GPUs", f"one was asked for and given: {variables or devices[0]}")
    elif devices:
        advice = "have the site's gres.conf looked at: containers would see GPUs of other jobs"
        yield warn("GPUs", f"one was asked for, {len(devices)} are shown: {variables}", advice)
    else:
        advice = "have the site's gres.conf looked at (File=, Flags=nvidia_gpu_env)"
        yield fail("GPUs", "one was asked for, and no variable says which was given", advice)
