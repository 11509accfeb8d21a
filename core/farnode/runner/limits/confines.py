"""What a run of a container is held to, and how its processes begin so."""

from __future__ import annotations

from dataclasses import dataclass

from ..runtime import Command
from .cgroup import Group


@dataclass(frozen=True)
class Confines:
    """`cpus` empty: all. `memory` (bytes) and `processes` are limits to be watched, None where there is none or where
    `group` sees to it."""

    cpus: frozenset[int]
    oom_score: int
    memory: int | None
    processes: int | None
    group: Group | None

    @property
    def watched(self) -> bool:
        return self.memory is not None or self.processes is not None

    def hold(self, command: Command) -> Command:
        """The command of a process that begins within them."""
        group = self.group.path if self.group else ""
        return command._replace(cpus=self.cpus, oom_score=self.oom_score, group=group)
