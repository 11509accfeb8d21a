"""Container images, as far as this host has to do with them: it fetches and converts, compute nodes run."""

from __future__ import annotations

import asyncio
import shutil
import stat
from pathlib import Path

import httpx

from farnode.gateway.config import GatewayConfig
from farnode.gateway.doctor.finding import Finding, fail, in_thread, ok, warn

TOOL, PREPARED, REGISTRY = "image tool", "images at the site", "registry"
TOOL_NAMES = ("apptainer",)
TOOL_TIMEOUT = 20.0
ANSWERS = (200, 401)
"""Of `GET /v2/`: a registry, with or without a login."""


async def tool(config: GatewayConfig) -> list[Finding]:
    """The program that fetches images and makes SIF files of them."""
    if "apptainer" not in config.runtimes:
        return [ok(TOOL, "not needed: containers run without images (`runtimes`)")]
    needed = config.runtimes == ("apptainer",)
    path = next((found for name in TOOL_NAMES if (found := shutil.which(name))), None)
    if path is None:
        advice = "have apptainer put on this host's PATH, or name images that are there already in `images.prepared`"
        words = "there is no apptainer on this host, so no image can be fetched"
        return [fail(TOOL, words, advice) if needed else warn(TOOL, words, advice)]
    code, version = await _run(path, "--version")
    if code:
        return [fail(TOOL, f"{path} does not work: {version}", "have it repaired, or take it out of `runtimes`")]
    if config.images.format == "sif" and not (await _squash()):
        advice = "have squashfs-tools installed here, or set `images.format: directory`"
        return [warn(TOOL, f"{version}, but no mksquashfs, which makes SIF files", advice)]
    return [ok(TOOL, f"{version} at {path}")]


async def _squash() -> bool:
    """Apptainer has its own where it was built with one."""
    own = ("/usr/sbin", "/usr/libexec/apptainer/bin", "/usr/local/libexec/apptainer/bin")
    return any(shutil.which("mksquashfs", path=path) for path in (None, ":".join(own)))


async def _run(*argv: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(TOOL_TIMEOUT):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = output.decode(errors="replace").strip().splitlines()
    return process.returncode or 0, lines[-1] if lines else ""


async def prepared(config: GatewayConfig) -> list[Finding]:
    return await in_thread(lambda: _prepared(config))


def _prepared(config: GatewayConfig) -> list[Finding]:
    """What the configuration says is there; a pattern's path is looked at up to where it depends on the image."""
    named = [Path(str(path).partition("{")[0]) for path in config.images.prepared.values()]
    wanted = [*named, *config.images.directories]
    found = [
        warn(PREPARED, f"{path} does not exist", "correct `images.prepared` or `images.directories`")
        for path in wanted
        if not path.exists()
    ]
    found += [problem for path in config.images.pull_secrets if (problem := _secret(path)) is not None]
    if wanted and not found:
        found.append(ok(PREPARED, f"{len(wanted)} places configured, all exist"))
    return found


def _secret(path: Path) -> Finding | None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        return fail(PREPARED, f"pull secret {path}: {error.strerror}", "correct `images.pullSecrets`")
    if mode & 0o077:
        return fail(PREPARED, f"pull secret {path} is open to others (mode {mode:04o})", f"chmod 600 {path}")
    return None


async def registries(config: GatewayConfig) -> list[Finding]:
    """Those named in the configuration; which others pods will name is not known here."""
    async with httpx.AsyncClient(timeout=10.0) as client:
        return [await _registry(client, name) for name in config.images.insecure_registries]


async def _registry(client: httpx.AsyncClient, name: str) -> Finding:
    advice = "check `images.insecureRegistries`, and that this host may reach it"
    try:
        answer = await client.get(f"http://{name}/v2/")
    except httpx.HTTPError as error:
        return fail(REGISTRY, f"{name} does not answer: {error or type(error).__name__}", advice)
    if answer.status_code not in ANSWERS:
        return fail(REGISTRY, f"{name} is no registry: GET /v2/ gives {answer.status_code}", advice)
    return ok(REGISTRY, f"{name} answers, without TLS as configured")
