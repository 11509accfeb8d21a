"""A table for a place that may be too small for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from farnode.cli import tables

_WORDS = 12
"""Columns of a terminal that the words of a table need to be of any use."""


@dataclass(frozen=True, slots=True)
class Section:
    """A table of which any number of rows may be shown, the first being the most telling. The last column holds words;
    `spare` are the columns that go first where there is not the width for all."""

    heading: list[str]
    rows: list[list[str]]
    spare: tuple[str, ...] = ()

    def within(self, width: int) -> Section:
        """With the columns that have room beside the first words of the last one."""
        section = self
        for name in self.spare:
            if section._width() <= width:
                break
            section = section._without(section.heading.index(name))
        return section

    def _width(self) -> int:
        columns = list(zip(self.heading, *self.rows, strict=True))[:-1]
        return sum(max(map(len, column)) + tables.GAP for column in columns) + _WORDS

    def _without(self, place: int) -> Section:
        heading, *rows = [[*row[:place], *row[place + 1 :]] for row in (self.heading, *self.rows)]
        return replace(self, heading=heading, rows=rows)

    def cut(self, most: int) -> tuple[list[list[str]], str]:
        """The heading and rows that have room, and what is said of those that have none."""
        left = len(self.rows) - most
        return [self.heading, *self.rows[:most]], f"… and {left} more" if left > 0 else ""
