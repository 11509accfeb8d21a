"""What befalls a Slurm site while pods run there, and is mended again after a while."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections.abc import Callable

from tests.faults.chaos import Acts
from tests.faults.wrapped import Wrapped
from tests.testbed import wait_until

AWAY = 3.0
"""Seconds for which slurmctld is gone."""
DRAINED = 10.0
WITHOUT_SLURMD = 15.0
"""Longer than a site of `SlurmdTimeout=5` and `MessageTimeout=3` takes to give a node up."""
WITHOUT_SQUEUE = 60.0


class Outages:
    """A context manager: when it is left all is mended. Which node or job is hit is drawn."""

    def __init__(self, site: Wrapped, rng: random.Random) -> None:
        self._site, self._rng = site, rng
        self._mending: list[threading.Thread] = []

    @property
    def acts(self) -> Acts:
        return {
            "scancel": self._scancel,
            "drain": self._drain,
            "slurmctld": self._restart_slurmctld,
            "slurmd": self._kill_slurmd,
            "squeue": self._fail_squeue,
        }

    def _scancel(self) -> bool:
        """By the administrator, of a job that runs; False when there is none, or it has just ended."""
        rows = self._site.queue("%i %t")
        running = [job for job, state in map(str.split, rows) if state == "R"]
        return bool(running) and self._run("scancel", self._rng.choice(running), check=False).returncode == 0

    def _drain(self) -> None:
        node = f"n{self._node()}"
        self._run("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
        self._later(DRAINED, lambda: wait_until(lambda: self._resumed(node), f"{node} takes jobs again", 60))

    def _resumed(self, node: str) -> bool:
        """A slurmd that was killed and came back may have done it before, and slurmctld may be away."""
        self._run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        said = self._run("sinfo", "--noheader", f"--nodes={node}", "--format=%T", check=False)
        return said.returncode == 0 and "drain" not in said.stdout

    def _run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._site.box.run("root", list(argv), check=check)

    def _restart_slurmctld(self) -> None:
        self._site.box.stop_slurmctld()
        time.sleep(AWAY)  # what is under test
        self._site.box.start_slurmctld()

    def _kill_slurmd(self) -> None:
        node = self._node()
        self._site.box.kill_slurmd(node)
        self._later(WITHOUT_SLURMD, lambda: self._site.box.start_slurmd(node))

    def _fail_squeue(self) -> None:
        self._site.squeue_is_down(True)
        self._later(WITHOUT_SQUEUE, lambda: self._site.squeue_is_down(False))

    def _node(self) -> int:
        return self._rng.randint(1, self._site.nodes)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, act)
        timer.start()
        self._mending.append(timer)

    def __enter__(self) -> Outages:
        return self

    def __exit__(self, *_: object) -> None:
        for timer in self._mending:
            timer.join()
