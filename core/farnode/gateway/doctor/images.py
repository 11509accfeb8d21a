"""Container images, as far as this host has to do with them: it fetches and converts, compute nodes run."""

from __future__ import annotations

import asyncio
import shutil
import stat
from pathlib import Path

import httpx

from farnode.errors import Invalid
from farnode.gateway.config import GatewayConfig
from farnode.gateway.doctor.finding import Finding, fail, in_thread, ok, warn
from farnode.gateway.images.endpoints import Endpoint, Endpoints
from farnode.gateway.images.reference import Reference

TOOL, PREPARED, REGISTRY = "image tool", "images at the site", "registry"
TOOL_TIMEOUT = 20.0
ANSWERS = (200, 401)
"""Of `GET /v2/`: a registry, with or without a login."""


async def tool(config: GatewayConfig) -> list[Finding]:
    """What makes images of what registries give."""
    runtimes = [runtime for runtime in config.runtimes if runtime != "process"]
    if not runtimes:
        return [ok(TOOL, "not needed: containers run without images (`runtimes`)")]
    found = [ok(TOOL, f"directories are unpacked by farnode itself, on this host{_zstd()}")]
    if "apptainer" in runtimes and config.images.format == "sif":
        found = [await _apptainer(needed=config.runtimes == ("apptainer",)), *found]
    return found


def _zstd() -> str:
    return (
        "" if shutil.which("zstd") else "; not those of layers compressed with zstd, as there is no program zstd here"
    )


async def _apptainer(*, needed: bool) -> Finding:
    path = shutil.which("apptainer")
    if path is None:
        advice = "set `images.format: directory`, or have apptainer put on this host's PATH"
        words = "there is no apptainer on this host, so no SIF file can be made"
        return fail(TOOL, words, advice) if needed else warn(TOOL, words, advice)
    code, version = await _run(path, "--version")
    if code:
        advice = "have it repaired, or set `images.format: directory`"
        return fail(TOOL, f"{path} does not work: {version}", advice)
    if not await _squash():
        advice = "have squashfs-tools installed here, or set `images.format: directory`"
        return warn(TOOL, f"{version}, but no mksquashfs, which makes SIF files", advice)
    return ok(TOOL, f"{version} at {path}")


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
    names = config.images.registries
    try:
        endpoints = Endpoints(names)
    except Invalid as error:
        return [fail(REGISTRY, str(error), "correct it: a file of certificates in PEM")]
    return [await _registry(endpoints.of(Reference(name, "any"))[-1]) for name in names]


async def _registry(endpoint: Endpoint) -> Finding:
    name = endpoint.reference.registry
    advice = f"check `images.registries.{name}`, and that this host may reach it"
    try:
        async with endpoint.client() as client:
            answer = await client.get(endpoint.root)
    except httpx.HTTPError as error:
        return fail(REGISTRY, f"{name} does not answer: {error or type(error).__name__}", advice)
    if answer.status_code not in ANSWERS:
        return fail(REGISTRY, f"{name} is no registry: GET /v2/ gives {answer.status_code}", advice)
    secure = endpoint.root.startswith("https:")
    return ok(REGISTRY, f"{name} answers, {'over TLS' if secure else 'without TLS as configured'}")
