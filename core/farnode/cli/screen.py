"""A whole terminal that shows one overview after another."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from farnode.cli.overview import Overview, Section

_COLOURS = {"running": "cyan", "queued": "yellow", "draining": "magenta", "Ready": "green", "Unhealthy": "red"}


class Screen:
    """As long as it is entered; what was there before comes back then."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, screen=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, overview: Overview, note: str) -> None:
        """`note` is the last line."""
        self._live.update(self.drawn(overview, note), refresh=True)

    def drawn(self, overview: Overview, note: str) -> Group:
        """No more lines than the terminal has."""
        lines = overview.lines[: max(1, self._console.height - 1)]
        room = self._console.height - len(lines) - 1
        shares = divided([len(section.rows) + 2 for section in overview.sections], room)
        tables = [_table(section, share) for section, share in zip(overview.sections, shares, strict=True) if share > 2]
        return Group(*(_line(line) for line in lines), *(part for table in tables for part in table), _line(note))


def divided(needs: list[int], room: int) -> list[int]:
    """What each gets of the room: no more than it needs, and what one leaves goes to the others."""
    shares = [0] * len(needs)
    for left, place in zip(range(len(needs), 0, -1), sorted(range(len(needs)), key=needs.__getitem__), strict=True):
        shares[place] = min(needs[place], max(0, room // left))
        room -= shares[place]
    return shares


def _table(section: Section, lines: int) -> tuple[Text, Table]:
    """An empty line, the heading, and the rows, of which the last tells how many are missing."""
    most = lines - 2
    rows, rest = section.cut(most if most >= len(section.rows) else max(1, most - 1))
    table = Table(*rows[0], box=None, pad_edge=False, header_style="bold", caption=rest or None, caption_justify="left")
    for row in rows[1:]:
        table.add_row(*(_line(cell) for cell in row))
    for column in table.columns:
        column.no_wrap, column.overflow = True, "ellipsis"
    return Text(""), table


def _line(text: str) -> Text:
    return Text(text, style=_COLOURS.get(text, ""), no_wrap=True, overflow="ellipsis")
