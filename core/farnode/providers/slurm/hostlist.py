"""Slurm's lists of nodes: `n[1-3,7],gpu01` names five."""

from __future__ import annotations

import re
from collections.abc import Iterator

MOST = 4096
"""Names a list is expanded to; a longer one is cut."""
PART = re.compile(r"(?:[^,\[\]]|\[[^\]]*\])+")
BRACKET = re.compile(r"\[([0-9,-]*)\]")
RANGE = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")
DEEPEST = 4
"""Brackets within one name (racks, chassis, nodes)."""


def expand(text: str) -> tuple[str, ...]:
    """The names in a list; what cannot be read is passed on as it is."""
    if text in ("", "(null)", "None assigned", "N/A"):
        return ()
    names: list[str] = []
    for part in PART.findall(text):
        for name in _names(part):
            if len(names) == MOST:
                return tuple(names)
            names.append(name)
    return tuple(names)


def _names(part: str, depth: int = 0) -> Iterator[str]:
    match = BRACKET.search(part)
    if match is None or depth == DEEPEST:
        yield part
        return
    before, after = part[: match.start()], part[match.end() :]
    for piece in match[1].split(","):
        for middle in _range(piece):
            yield from _names(before + middle + after, depth + 1)


def _range(piece: str) -> Iterator[str]:
    match = RANGE.fullmatch(piece)
    if match is None:
        yield piece
        return
    for number in range(int(match[1]), int(match[2]) + 1):
        yield str(number).zfill(len(match[1]))
