"""What is told of a pod besides its state, as the kubelet tells it in Events."""

from __future__ import annotations

from dataclasses import dataclass

from ...wire.messages import Note

BURST = 25
ONE_MORE_AFTER = 300.0
"""Seconds. Of one reason so many notes are told at once, and then one in this time, as client-go limits the Events of
an object: a probe that fails every second for days must not fill a journal."""


@dataclass
class Allowance:
    left: float
    at: float


class Story:
    def __init__(self) -> None:
        self._notes: list[Note] = []
        self._allowances: dict[str, Allowance] = {}

    def add(self, at: float, kind: str, reason: str, message: str) -> bool:
        """Whether it was added, or is one too many."""
        allowance = self._allowances.setdefault(reason, Allowance(BURST, at))
        allowance.left = min(BURST, allowance.left + (at - allowance.at) / ONE_MORE_AFTER)
        allowance.at = at
        if allowance.left < 1:
            return False
        allowance.left -= 1
        self._notes.append({"at": at, "kind": kind, "reason": reason, "message": message})
        return True

    def take(self) -> list[Note]:
        """What was added since the last time."""
        notes, self._notes = self._notes, []
        return notes
