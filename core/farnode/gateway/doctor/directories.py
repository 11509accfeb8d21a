"""State, lock and spool as this host sees them."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from farnode.config.values import HostPort
from farnode.errors import Invalid
from farnode.gateway.config import GatewayConfig
from farnode.gateway.disk import check_state_directory
from farnode.gateway.doctor.finding import Finding, fail, in_thread, ok, warn
from farnode.gateway.runners import Secret

STATE, GATEWAY, SPOOL = "state directory", "gateway", "spool"
LEAST_FREE = 1 << 30
"""Bytes below which a directory is called full: one image of a GPU framework needs more."""
OPEN_TO_OTHERS = 0o077


@contextmanager
def present(directory: Path) -> Iterator[None]:
    """Makes it, private, where it is missing, and takes away again what was made: an examination leaves nothing."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        yield
    finally:
        for path in missing:
            if not any(path.iterdir()):
                path.rmdir()


async def state(config: GatewayConfig) -> list[Finding]:
    return [await in_thread(lambda: _state(config.state))]


def _state(path: Path) -> Finding:
    advice = "set `state` to a directory of your own on a local disk, such as /var/tmp/farnode-$USER"
    try:
        with present(path):
            check_state_directory(path)
            _write(path)
            free = shutil.disk_usage(path).free
            mode = stat.S_IMODE(path.stat().st_mode)
    except Invalid as error:
        return fail(STATE, error.problem, advice)
    except OSError as error:
        return fail(STATE, f"{path} cannot be written: {error.strerror}", advice)
    if mode & OPEN_TO_OTHERS:
        return warn(STATE, f"{path} is open to others (mode {mode:04o})", f"chmod 700 {path}")
    if free < LEAST_FREE:
        return warn(STATE, f"{path} has only {free >> 20} MiB left", "make room there, or set `state` elsewhere")
    return ok(STATE, f"{path} is on a local disk and private, {free >> 30} GiB free")


async def gateway(config: GatewayConfig) -> list[Finding]:
    """Whether one runs, and if so whether it answers."""
    holder = await in_thread(lambda: lock_holder(config.state))
    if holder is None:
        return [_none_runs(config.state)]
    who = f"process {holder.get('pid', 'unknown')} on host {holder.get('host', 'unknown')}"
    try:
        async with asyncio.timeout(10):
            await _connect(config)
    except (OSError, TimeoutError) as error:
        advice = "look at what that process logs; if it hangs, end it with SIGKILL: pods outlive it"
        return [fail(GATEWAY, f"{who} holds the state but does not answer at {_place(config)}: {error}", advice)]
    return [ok(GATEWAY, f"{who} serves this site and answers at {_place(config)}")]


def lock_holder(path: Path) -> dict[str, object] | None:
    """Who holds the state directory; None when nobody on this host does."""
    try:
        file = os.open(path / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _identity(file)
    else:
        return None
    finally:
        os.close(file)


def _identity(file: int) -> dict[str, object]:
    try:
        found = json.loads(os.pread(file, 4096, 0) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _none_runs(path: Path) -> Finding:
    try:
        left = json.loads((path / "lock").read_bytes() or b"{}")
    except (OSError, ValueError):
        left = {}
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if left and left.get("host") != socket.gethostname() and left.get("boot") != boot:
        words = f"the state was last held by a gateway on host {left.get('host')}, which did not let go of it"
        return fail(GATEWAY, words, f"end that one; if it surely runs no more, remove {path / 'lock'}")
    return ok(GATEWAY, "none runs; the state is free")


async def _connect(config: GatewayConfig) -> None:
    if isinstance(config.listen, HostPort):
        host = "localhost" if config.listen.host in ("0.0.0.0", "::") else config.listen.host  # noqa: S104
        _, writer = await asyncio.open_connection(host, config.listen.port)
    else:
        _, writer = await asyncio.open_unix_connection(str(config.listen.path))
    writer.close()


def _place(config: GatewayConfig) -> str:
    where = config.listen
    return f"https://{where.host}:{where.port}" if isinstance(where, HostPort) else f"unix:{where.path}"


async def spool(config: GatewayConfig) -> list[Finding]:
    return [await in_thread(lambda: _spool(config))]


def _spool(config: GatewayConfig) -> Finding:
    path = config.spool
    advice = "set `spool` to a directory of your own that compute nodes share"
    try:
        with present(path):
            _write(path)
            found, free = path.stat(), shutil.disk_usage(path).free
    except OSError as error:
        return fail(SPOOL, f"{path} cannot be written: {error.strerror}", advice)
    if found.st_uid != os.getuid():
        return fail(SPOOL, f"{path} belongs to user {found.st_uid}", advice)
    if problem := _claimed(config):
        return fail(SPOOL, problem, "set `spool` to another directory, or `state` to the one it belongs to")
    mode = stat.S_IMODE(found.st_mode)
    if mode & OPEN_TO_OTHERS:
        return warn(SPOOL, f"{path} is open to others (mode {mode:04o})", f"chmod 700 {path}")
    if free < LEAST_FREE:
        return warn(SPOOL, f"{path} has only {free >> 20} MiB left", "make room there, or set `spool` elsewhere")
    return ok(SPOOL, f"{path} is writable and private, {free >> 30} GiB free")


def _claimed(config: GatewayConfig) -> str:
    """Why the spool is not this gateway's; "" when it is, or nobody's."""
    try:
        owner = (config.spool / "gateway").read_text()
    except FileNotFoundError:
        return ""
    secret = config.state / "secret"
    if secret.exists() and Secret.at(secret).identity == owner:
        return ""
    return f"{config.spool} belongs to a gateway with another state than {config.state}"


def _write(path: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=path, prefix=".doctor-") as file:
        file.write(b"?")
        file.flush()
        os.fsync(file.fileno())
