"""A tool of the site (apptainer, bubblewrap, …) as the process that keeps a container open: started around the holder,
and ended with what it holds."""

from __future__ import annotations

import contextlib
import os
import signal

from . import holder, program, tree

PATIENCE = 10
"""Seconds a tool may take to clean up (to unmount an image) when the container is done."""
MARK = "FARNODE_"
WORDS = 2000
"""Characters of what the tool said that are passed on."""


class ToolFailed(ValueError):
    """Words of the tool's own."""


def marks() -> dict[str, str]:
    """The variables by which our processes are found."""
    return {name: value for name, value in os.environ.items() if name.startswith(MARK)}


class Keeper:
    """The tool's process, and the holder it started. Raises ToolFailed when the tool starts none. What the tool starts
    bears our marks."""

    def __init__(self, argv: list[str], env: dict[str, str], log: str) -> None:
        self._tool = os.path.basename(argv[0])
        self._log = log
        self._input, self._lifeline = os.pipe()
        self._ready, self._output = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._execute(argv, env)
        os.close(self._input)
        os.close(self._output)
        self.holder = self._await()

    def _execute(self, argv: list[str], env: dict[str, str]) -> None:
        """In a session of its own: what is sent to the container's process group must not hit what holds it open."""
        try:
            os.setsid()
            error = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            for number, descriptor in enumerate((self._input, self._output, error)):
                os.dup2(descriptor, number)
            program.become(argv, {**env, **marks()}, "/")
        except (OSError, ValueError) as failed:
            os.write(2, f"FATAL:   {failed}".encode(errors="replace"))
        finally:
            os._exit(255)

    def _await(self) -> int:
        stands = os.read(self._ready, 1)
        os.close(self._ready)
        if stands:
            for pid in (self.pid, *tree.descendants(self.pid)):
                with contextlib.suppress(OSError):
                    if tree.stat_of(pid)[0] == holder.NAME:
                        return pid
        self.end()
        raise ToolFailed(self.words())

    def words(self) -> str:
        """What the tool said was fatal, or else its last words."""
        with open(self._log, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
        fatal = [line.partition(":")[2].strip() for line in lines if line.startswith(("FATAL:", "ERROR:"))]
        return "; ".join(fatal or lines[-3:])[-WORDS:] or f"{self._tool} ended without a word"

    def end(self) -> None:
        """Let the holder go, and wait until it and the tool are gone."""
        os.close(self._lifeline)
        for _ in range(PATIENCE * 100):
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                return
            signal.sigtimedwait({signal.SIGCHLD}, 0.01)
        for pid in (*tree.descendants(self.pid), self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
