"""How a process that could not become its program says so."""

from __future__ import annotations

import os

from .program import NotFound

SETUP_FAILED = 128
"""Exit status when a container's program was not started; the one of other container runtimes."""
CANNOT_RUN, NOT_FOUND = 126, 127
"""Exit status of one more program that was not started; a shell's."""


class Failure:
    """A file, opened at once because it may be out of sight when it is needed; for one more program in a container,
    which has none, standard error."""

    def __init__(self, path: str | None) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600) if path else None

    def write(self, reason: str, message: str) -> None:
        if self._file is None:
            words = f"exec failed: unable to start container process: {message}\n"
            os.write(2, words.encode(errors="replace"))
        else:
            os.write(self._file, f"{reason}\n{message}".encode(errors="replace"))

    def status(self, error: Exception) -> int:
        """The exit status that tells of it."""
        if self._file is not None:
            return SETUP_FAILED
        return NOT_FOUND if isinstance(error, NotFound) else CANNOT_RUN
