"""What is left of a budget beyond the life of a gateway: one that starts again and again spares Slurm all the same."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)


class Ledger:
    """One line, the time (seconds since the epoch) and the tokens left then, replaced as a whole with every call."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock

    def left(self, burst: int, per_minute: float) -> float:
        """Tokens there are now; a full bucket where nothing was written down, or nothing that can be understood."""
        try:
            at, tokens = map(float, self._path.read_text().split())
        except (OSError, ValueError):
            return float(burst)
        refilled = tokens + max(0.0, self._clock() - at) * per_minute / 60
        return min(float(burst), refilled) if refilled >= 0 else float(burst)

    def note(self, tokens: float) -> None:
        """A disk that takes nothing costs the memory of it, not the call."""
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            new.write_text(f"{self._clock():.3f} {tokens:.3f}\n")
            new.replace(self._path)
        except OSError as error:
            log.warning("calls of Slurm cannot be counted in %s: %s", self._path, error)
