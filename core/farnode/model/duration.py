"""Durations as people write them for batch systems and for Kubernetes, in whole seconds."""

from __future__ import annotations

import re

from farnode.errors import Invalid

ACCEPTED = "a duration such as 90s, 30m, 2h, 1h30m, 1d12h, 02:30:00 (hours:minutes:seconds) or 1-02:00:00 (days-…)"
LONGEST = 366 * 24 * 3600
_UNITS = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
_CLOCK = re.compile(r"(?:(\d{1,9})-)?(\d{1,9}):([0-5]\d):([0-5]\d)", re.ASCII)
_SECONDS = (86400, 3600, 60, 1)


def parse_duration(text: str, path: str) -> int:
    """Seconds, at least 1 and at most a year; Invalid otherwise. A bare number is refused: Slurm would take it for
    minutes and Kubernetes for seconds."""
    match = _CLOCK.fullmatch(text) or _UNITS.fullmatch(text)
    if match is None or not text:
        raise Invalid(path, f"{text[:60]!r} is not {ACCEPTED}")
    seconds = sum(int(number or 0) * unit for number, unit in zip(match.groups(), _SECONDS, strict=True))
    if not 0 < seconds <= LONGEST:
        raise Invalid(path, f"{text!r} must be more than 0 s and at most 366 days")
    return seconds
