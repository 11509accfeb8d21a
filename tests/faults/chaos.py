"""Kills at random moments, all drawn from one seed, until there is nothing left to be disturbed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.faults import driver
from tests.faults.sites import kill, of_role, relaunch
from tests.sites import GatewaySite

Acts = Mapping[str, Callable[[], bool | None]]
"""What may be done to a site, by name; an act that says False found nothing to be done to."""


class Driver:
    """The process that hands in pods; killed, it is started again."""

    def __init__(self, site: GatewaySite, bundles: Path, owner: str = "alice") -> None:
        self._argv = [sys.executable, driver.__file__, str(bundles), site.url, str(site.token(owner))]
        self._log = bundles.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
            self.start()

    def finish(self, timeout: float) -> None:
        """Until it has seen the end of every pod; otherwise AssertionError with what it said."""
        assert self._process is not None
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
            raise AssertionError(f"the client saw no end of all pods in {timeout:g} s: {self._said()}") from None
        assert code == 0, self._said()

    def _said(self) -> str:
        return self._log.read_text()[-3000:]


def kills(site: GatewaySite, driver: Driver, rng: random.Random) -> Acts:
    """kill -9 of each of our processes; a container's supervisor and runner are drawn from those that live."""

    def one_of(role: str) -> bool:
        found = of_role(site, role)
        if found:
            kill(site, rng.choice(found), signal.SIGKILL)
        return bool(found)

    return {
        "gateway": lambda: relaunch(site),
        "client": driver.kill,
        "run": lambda: one_of("run"),
        "supervise": lambda: one_of("supervise"),
    }


class Chaos:
    """Does all of `deeds` in random order, with pauses drawn between 0 and `pause` seconds, while the block lasts."""

    def __init__(self, acts: Acts, deeds: Sequence[str], rng: random.Random, pause: float) -> None:
        self.done: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._acts, self._rng, self._pause = acts, rng, pause
        self._deeds = list(deeds)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            while self._deeds and not self._over.wait(self._rng.uniform(0, self._pause)):
                deed = self._deeds.pop(self._rng.randrange(len(self._deeds)))
                if self._acts[deed]() is False:
                    self._deeds.append(deed)
                else:
                    self.done[deed] += 1
        except BaseException as error:  # told by whoever waits for this thread
            self.error = error

    @property
    def over(self) -> bool:
        """Whether every deed is done; raises what went wrong with one."""
        if self.error is not None:
            raise self.error
        return not self._thread.is_alive()

    def __enter__(self) -> Chaos:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
