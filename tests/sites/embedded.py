"""A site without a batch system: this machine pretends to be one big node."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from farnode.gateway.token_file import TokenFile
from farnode.gateway.tokens import Tokens
from tests.sites.site import MARK, RUNNER, GatewaySite, SiteProcess, storage

CORES = 256
"""More than this machine has: what waits for room waits because a test wants it to."""


class EmbeddedSite(GatewaySite):
    """`settings` are merged over the gateway's configuration."""

    def __init__(self, settings: Mapping[str, Any] | None = None, gpus: int = 4) -> None:
        super().__init__()
        # Not pytest's tmp_path: unix sockets need short names.
        self.directory = Path(tempfile.mkdtemp(prefix="fn-"))
        self.name = "local"
        self.nodes = 1
        self.gpus = {"local": {"a100": gpus}} if gpus else {}
        self.patience = 60.0
        self.state, self.spool = self.directory / "state", self.directory / "spool"
        self.log = self.directory / "gateway.log"
        self.config = self.directory / "gateway.yaml"
        self.capabilities = frozenset({"sharing", "gpus"} if gpus else {"sharing"}) | _of_this_machine()
        self.config.write_text(yaml.safe_dump(self._configuration(gpus) | dict(settings or {})))

    def _configuration(self, gpus: int) -> dict[str, Any]:
        provider: dict[str, Any] = {"kind": "local", "cores": CORES, "memory": "64Gi"}
        if gpus:
            provider["gpus"] = {"model": "a100", "count": gpus, "vendor": "nvidia.com", "memory": "40Gi"}
        return {
            "site": self.name,
            "state": str(self.state),
            "spool": str(self.spool),
            "provider": provider,
            "runtimes": ["process"],
            "runners": {"listen": "127.0.0.1:0", "advertise": "127.0.0.1"},
            "shareAcrossOwners": True,
            "pollInterval": "1s",
            "python": sys.executable,
            "storage": storage(str(self.directory / "claims")),
        }

    @property
    def environ(self) -> dict[str, str]:
        """For commands that shall find this site and no other."""
        return {**os.environ, "FARNODE_CONFIG": str(self.directory / "config.yaml")}

    @property
    def pid(self) -> int:
        assert self._gateway is not None
        return self._gateway.pid

    def command(self, *arguments: str) -> list[str]:
        """The command line `farnode …` of the interpreter the tests run in."""
        return [sys.executable, "-m", "farnode.cli", *arguments]

    def _launch(self) -> subprocess.Popen[Any]:
        with self.log.open("ab") as out:
            return subprocess.Popen(
                self.command("gateway", "start", "-c", str(self.config)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.environ,
                cwd="/",
                start_new_session=True,
            )

    def _issue(self, owner: str) -> str:
        return Tokens(TokenFile(self.state)).issue(owner)

    def _scratch(self) -> Path:
        return self.directory

    def processes(self) -> Sequence[SiteProcess]:
        mine = str(self.spool).encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with suppress(OSError):
                cmdline, environ = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
                # A container's mark names its allocation, whose directory is in our spool.
                if cmdline and ((RUNNER.encode() in cmdline and mine in cmdline) or self._is_ours(environ)):
                    found.append(_process(int(entry.name), cmdline, environ))
        return found

    def command_lines(self) -> Sequence[str]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                found.append(entry.read_bytes().decode(errors="replace").replace("\0", " "))
        return found

    def _is_ours(self, environ: bytes) -> bool:
        mark = next((one for one in environ.split(b"\0") if one.startswith(MARK.encode() + b"=")), None)
        nonce = "" if mark is None else mark.partition(b"=")[2].decode(errors="replace")
        return bool(nonce) and (self.spool / "allocations" / nonce).is_dir()

    def _clear(self) -> None:
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        shutil.rmtree(self.directory)


def _process(pid: int, cmdline: bytes, environ: bytes) -> SiteProcess:
    pairs = (pair.partition("=") for pair in environ.decode(errors="replace").split("\0"))
    words = tuple(cmdline.decode(errors="replace").split("\0")[:-1])
    return SiteProcess("", pid, words, {key: value for key, _, value in pairs if key})


def _of_this_machine() -> frozenset[str]:
    """Whether an ordinary process may make a user and mount namespace here: without it no volume can be mounted."""
    argv = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    allowed = subprocess.run(argv, capture_output=True, check=False, timeout=30).returncode == 0
    return frozenset({"mounts"} if allowed else ())
