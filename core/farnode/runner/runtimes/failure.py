"""How a process that could not become its program says so."""

from __future__ import annotations

import os

SETUP_FAILED = 128
"""Exit status when the program was not started; the one of other container runtimes."""


class Failure:
    """A file, opened at once because it may be out of sight when it is needed, or standard error."""

    def __init__(self, path: str | None) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600) if path else None

    def write(self, reason: str, message: str) -> None:
        if self._file is None:
            os.write(2, os.fsencode(message + "\n"))
        else:
            os.write(self._file, f"{reason}\n{message}".encode(errors="replace"))
