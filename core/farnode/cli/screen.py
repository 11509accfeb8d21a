"""An overview as large as a terminal."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from farnode.cli import tables
from farnode.cli.overview import Overview
from farnode.cli.section import Section

_COLOURS = {"running": "cyan", "queued": "yellow", "draining": "magenta"}
_LEAST = 4
"""Lines of a table that is cut: an empty one, its heading, a row, and how many are missing."""


def drawn(overview: Overview, note: str, width: int, height: int) -> Group:
    """No more lines than the terminal has; `note` is the last."""
    lines = [_line(line) for line in overview.lines[: max(1, height - 1)]]
    room = height - len(lines) - 1
    shares = divided([len(section.rows) + 2 for section in overview.sections], room)
    for section, share in zip(overview.sections, shares, strict=True):
        if share >= min(len(section.rows) + 2, _LEAST):
            lines += _table(section, share, width)
    return Group(*lines, _line(note, "dim"))


def divided(needs: list[int], room: int) -> list[int]:
    """What each gets of the room: no more than it needs, and what one leaves goes to the others."""
    shares = [0] * len(needs)
    for left, place in zip(range(len(needs), 0, -1), sorted(range(len(needs)), key=needs.__getitem__), strict=True):
        shares[place] = min(needs[place], max(0, room // left))
        room -= shares[place]
    return shares


def _table(section: Section, lines: int, width: int) -> list[Text]:
    """An empty line, the heading, and the rows, of which the last tells how many are missing."""
    most = lines - 2
    rows, rest = section.cut(most if most >= len(section.rows) else most - 1)
    shown = Section(rows[0], rows[1:], section.spare).within(width)
    heading, *others = tables.columns([shown.heading, *shown.rows]).split("\n")
    return [Text(), _line(heading, "bold"), *map(_line, others), *([_line(rest, "dim")] if rest else [])]


def _line(text: str, style: str = "") -> Text:
    line = Text(text, style=style, no_wrap=True, overflow="ellipsis")
    for word, colour in _COLOURS.items():
        line.highlight_regex(rf"(?<=   ){word}(?=   )", colour)
    return line
