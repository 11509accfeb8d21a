"""The kubelet's CrashLoopBackOff, as arithmetic.

The first restart is immediate; the next ones wait 10 s, 20 s, 40 s … 300 s after the container's end. A container that
ended more than 600 s after its last restart begins anew. (client-go's flowcontrol.Backoff, kubelet's numbers.)
"""

from __future__ import annotations

INITIAL = 10.0
LONGEST = 300.0
FORGOTTEN_AFTER = 2 * LONGEST


class Backoff:
    """Of one container. Times are seconds of one clock."""

    def __init__(self) -> None:
        self.period = 0.0
        self._restarted_at = 0.0

    def wait(self, finished_at: float, now: float) -> float:
        """Seconds from now until the container that ended at `finished_at` may be restarted."""
        if self._forgotten(finished_at):
            return 0.0
        return max(0.0, finished_at + self.period - now)

    def restarted(self, finished_at: float, now: float) -> None:
        """It is restarted now: the next restart waits longer."""
        self.period = INITIAL if self._forgotten(finished_at) else min(2 * self.period, LONGEST)
        self._restarted_at = now

    def _forgotten(self, finished_at: float) -> bool:
        return not self.period or finished_at - self._restarted_at > FORGOTTEN_AFTER
