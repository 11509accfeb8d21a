"""How pods somebody waits for are shown: lines for a log; `live` has the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import click

from farnode.cli import words
from farnode.client.pod import Pod


class View(Protocol):
    def show(self, pods: Sequence[Pod]) -> None:
        """These are new, or as they are now."""
        ...


class Lines:
    """A line on stderr for each visible change; stdout belongs to what the pods write."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def show(self, pods: Sequence[Pod]) -> None:
        for pod in pods:
            said = _line(pod)
            if self._said.get(pod.uid) != said:
                self._said[pod.uid] = said
                click.echo(said, err=True)


def _line(pod: Pod) -> str:
    more = words.why(pod)
    code = pod.exit_code()
    exit_code = f" (exit code {code})" if code else ""
    return f"pod {pod}: {words.status(pod)}{exit_code}" + (f": {more}" if more else "")
