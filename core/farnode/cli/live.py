"""A table of pods that changes in place on a terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from farnode.cli import tables, words
from farnode.client.pod import Pod

_COLOURS = {"Completed": "green", "Running": "cyan", "Queued": "yellow", "Pending": "yellow", "Terminating": "magenta"}
_AROUND = 6  # lines of a terminal the heading, the counts and the prompt need


class LiveTable:
    """As long as it is entered; what it showed last stays. Where not all pods fit, those not ended are shown."""

    def __init__(self, console: Console | None = None) -> None:
        self._pods: dict[str, Pod] = {}
        self._console = console or Console()
        self._live = Live(console=self._console, get_renderable=self.table, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.refresh()
        self._live.stop()

    def show(self, pods: Sequence[Pod]) -> None:
        """Drawn at the next refresh."""
        self._pods.update((pod.uid, pod) for pod in pods)

    def table(self) -> Table:
        """As it is now."""
        pods = list(self._pods.values())
        several = len({pod.namespace for pod in pods}) > 1
        table = Table(*tables.heading(several, False), "WHERE", "WHY", box=None, pad_edge=False)
        for pod in sorted(pods, key=lambda pod: pod.ended)[: max(1, self._console.height - _AROUND)]:
            table.add_row(*self._cells(pod, several))
        counts = Counter(words.status(pod) for pod in pods)
        table.caption = ", ".join(f"{number} {status}" for status, number in counts.most_common())
        table.caption_justify = "left"
        return table

    def _cells(self, pod: Pod, namespace: bool) -> list[Text]:
        status = words.status(pod)
        colour = _COLOURS.get(status, "red" if pod.ended else "")
        cells = [*tables.row(pod, time.time(), namespace, False), words.where(pod), words.why(pod)]
        return [Text(cell, style=colour if cell == status else "", overflow="ellipsis", no_wrap=True) for cell in cells]
