"""The moment from which a container's program runs: the end of a pipe that all that comes before it holds open.

A container out of an image is set up for a while, longer on a node that is busy. Were it called running before, probes
would count the time against it, and a signal would reach it before it could heed any.
"""

from __future__ import annotations

import asyncio
import os


class Beginning:
    """`over` is done when the program runs, or never will."""

    def __init__(self) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reading = self._offered = -1

    @property
    def is_program(self) -> bool:
        """Whether its command is the program itself: it took no descriptor."""
        return self._reading < 0

    def offer(self) -> int:
        """A descriptor for the command to inherit, and to close when the program runs."""
        self._reading, self._offered = os.pipe()
        return self._offered

    def handed_over(self) -> None:
        """The command was started."""
        if self.is_program:
            self.over.set_result(None)
        else:
            os.close(self._offered)
            asyncio.get_running_loop().add_reader(self._reading, self.close)

    def abandon(self) -> None:
        """Nothing was started."""
        if not self.is_program:
            os.close(self._offered)
            os.close(self._reading)
        self.over.set_result(None)

    def close(self) -> None:
        if not self.over.done():
            asyncio.get_running_loop().remove_reader(self._reading)
            os.close(self._reading)
            self.over.set_result(None)
