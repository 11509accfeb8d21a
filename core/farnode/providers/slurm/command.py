"""The one way a Slurm command is run: no shell, a clean environment, bounded in time, in output and in number."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from farnode.errors import Transient, Unreachable
from farnode.providers.port import Calls
from farnode.providers.slurm.budget import Budget, Urgency

MAX_OUTPUT = 64 << 20
"""Bytes of one stream; `scontrol show node` of 10,000 nodes is about 10 MiB."""
UNREACHABLE = (
    "Unable to contact slurm controller",
    "Connection refused",
    "No route to host",
    "slurm_persist_conn_open",
    "in standby mode",
    "Could not establish a configuration source",
    "Munge encode failed",
    "Protocol authentication error",
)
UNCLEAR = ("Socket timed out", "Zero Bytes were transmitted", "Unexpected message received", "Transport endpoint")


@dataclass(frozen=True, slots=True)
class Output:
    """What a command said. `code` is negative when a signal ended it."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """Its complaint in one line, bounded, for a message."""
        lines = (line.strip() for line in (self.err or self.out).splitlines())
        return " / ".join(line for line in lines if line)[-500:]

    def said(self, signs: Sequence[str]) -> bool:
        return any(sign in self.err for sign in signs)

    @property
    def away(self) -> bool:
        """The controller was certainly not reached."""
        return self.code != 0 and self.said(UNREACHABLE)

    @property
    def unclear(self) -> bool:
        """The controller may have done what was asked, though nobody heard it say so."""
        return self.code != 0 and (self.code < 0 or self.said(UNCLEAR))


@dataclass(frozen=True, slots=True)
class Slurm:
    """The commands of one site. `tools` is the directory they are in (None: PATH); `timeout` seconds for each; `made`
    counts those that were run, by name."""

    budget: Budget
    timeout: float
    tools: Path | None = None
    made: Counter[str] = field(default_factory=Counter)

    def calls(self) -> Calls:
        budget = self.budget
        return Calls(budget.burst, budget.per_minute, budget.left, dict(self.made), budget.waiting)

    async def call(self, urgency: Urgency, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Output:
        """Run a command whatever comes of it; Transient when it cannot be started, hangs or floods."""
        await self.budget.take(urgency)
        self.made[argv[0]] += 1
        return await run([self.located(argv[0]), *argv[1:]], {**base_environment(), **(env or {})}, self.timeout)

    async def ask(self, argv: Sequence[str], urgency: Urgency = Urgency.QUERY) -> str:
        """What a query prints; Transient with its words when it fails, Unreachable when nobody answered. Times are in
        UTC."""
        output = await self.call(urgency, argv, {"TZ": "UTC"})
        if output.code:
            kind = Unreachable if output.away or output.unclear else Transient
            raise kind(f"{argv[0]} failed: {output.words or f'exit code {output.code}'}")
        return output.out

    def located(self, command: str) -> str:
        """Its path: its own PATH is the job's later, so it is not the gateway's."""
        path = str(self.tools / command) if self.tools else shutil.which(command)
        return path or command


def base_environment() -> dict[str, str]:
    """Nothing of the gateway's own environment but where Slurm is: SBATCH_… and SLURM_… would change every request."""
    conf = os.environ.get("SLURM_CONF")
    own = {"SLURM_CONF": conf} if conf else {}
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **own}


async def run(argv: Sequence[str], env: Mapping[str, str], timeout: float) -> Output:  # noqa: ASYNC109 - a bound of each
    """Raises Transient; whatever happens, no process of the command is left."""
    name = Path(argv[0]).name
    try:
        transport, process = await asyncio.get_running_loop().subprocess_exec(
            lambda: _Process(name),
            *argv,
            env=env,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # so that a wrapper's children can be killed with it
        )
    except OSError as error:
        raise Transient(f"{name} cannot be started: {error}") from error
    try:
        async with asyncio.timeout(timeout):
            await process.done
    except TimeoutError as error:
        raise Unreachable(f"{name} did not answer within {timeout:g} s") from error
    finally:
        if not process.done.done() or process.done.cancelled() or process.done.exception() is not None:
            with suppress(ProcessLookupError):
                os.killpg(transport.get_pid(), signal.SIGKILL)
        transport.close()
        await process.exited
    code = transport.get_returncode()
    return Output(-1 if code is None else code, process.text(1), process.text(2))


class _Process(asyncio.SubprocessProtocol):
    """Gathers what a command prints. `done`: it has ended and nobody holds its output open any more."""

    def __init__(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[None] = loop.create_future()
        self._name = name
        self._printed = {1: bytearray(), 2: bytearray()}

    def text(self, stream: int) -> str:
        return self._printed[stream].decode(errors="replace")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._printed[fd] += data
        if len(self._printed[fd]) > MAX_OUTPUT and not self.done.done():
            self.done.set_exception(Transient(f"{self._name} printed more than {MAX_OUTPUT >> 20} MiB"))

    def process_exited(self) -> None:
        self.exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.done.done():
            self.done.set_result(None)
