"""The moment from which a container's program runs: the end of a pipe that all that comes before it holds open.

A container out of an image is set up for a while, longer on a node that is busy. Were it called running before, probes
would count the time against it, and a signal would reach it before it could heed any.
"""

from __future__ import annotations

import asyncio
import os

from ..runtime import Command


class Beginning:
    """`over` is done when the program runs, or never will. `offered` is what its command has to close then."""

    def __init__(self) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reading, self.offered = os.pipe()

    def handed_over(self, command: Command) -> None:
        """The command was started; one that did not take the descriptor is the program."""
        os.close(self.offered)
        if command.began is None:
            self._end()
        else:
            asyncio.get_running_loop().add_reader(self._reading, self.close)

    def abandon(self) -> None:
        """Nothing was started."""
        os.close(self.offered)
        self._end()

    def close(self) -> None:
        if not self.over.done():
            asyncio.get_running_loop().remove_reader(self._reading)
            self._end()

    def _end(self) -> None:
        os.close(self._reading)
        self.over.set_result(None)
