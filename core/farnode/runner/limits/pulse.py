"""Whether something of size may have happened on the node since the last look: two files that cost 25 µs to read.

No container can have gained more memory than the node has lost, nor more processes than it has gained. So as long as
neither comes near what a container still may take, nobody needs to look at the containers.
"""

from __future__ import annotations

from typing import NamedTuple

from .memory import read


class Pulse(NamedTuple):
    """`available`: bytes of memory the node still has; `tasks`: processes and threads on it."""

    available: int
    tasks: int

    @classmethod
    def now(cls) -> Pulse:
        available = read("/proc/meminfo").partition(b"MemAvailable:")[2].split(None, 1)
        tasks = read("/proc/loadavg").split()[3].partition(b"/")[2]
        return cls(int(available[0]) * 1024, int(tasks))

    def alarms(self, before: Pulse, memory: float, tasks: float) -> bool:
        """Whether half of that much memory, or of so many processes, may have been taken since `before`: others may
        have given some back meanwhile."""
        return before.available - self.available > memory / 2 or self.tasks - before.tasks > tasks / 2
