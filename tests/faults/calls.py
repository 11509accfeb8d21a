"""What was asked of a batch system, written down by wrappers around its commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

COMMANDS = ("sacct", "sacctmgr", "sbatch", "scancel", "scontrol", "sinfo", "sprio", "squeue", "sshare", "sstat")
RECORD = 'printf "%s %s %s\\n" "$(date +%s.%N)" "${{0##*/}}" "$*" >>{log}\n'
"""Of a wrapper in sh: one line for each call, in one write."""
LATE = 1
"""Calls: one may be written down just before the end of a window in which it was not allowed yet, for a command starts
a moment after its token was taken."""


@dataclass(frozen=True, slots=True)
class Call:
    at: float
    command: str
    arguments: str


def read(log: Path) -> Sequence[Call]:
    """In the order in which they were made."""
    found = []
    for line in log.read_text().splitlines() if log.exists() else ():
        at, command, arguments = line.split(" ", 2)
        found.append(Call(float(at), command, arguments))
    return sorted(found, key=lambda call: call.at)


def check_budget(calls: Sequence[Call], burst: int, per_minute: float) -> None:
    """In no window of any length were there more than a full bucket and what came into it meanwhile."""
    for first, start in enumerate(calls):
        for last in range(first, len(calls)):
            window = calls[last].at - start.at
            allowed = burst + per_minute * window / 60 + LATE
            assert last - first + 1 <= allowed, _told(calls[first : last + 1], window, allowed)


def _told(calls: Sequence[Call], window: float, allowed: float) -> str:
    lines = "\n".join(f"{call.at - calls[0].at:8.2f} {call.command} {call.arguments[:100]}" for call in calls)
    return f"{len(calls)} calls in {window:.1f} s, where {allowed:.1f} are allowed:\n{lines}"
