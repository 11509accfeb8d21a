"""All allocations of the embedded site. Blocking and without an event loop: the provider calls it in a thread."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from farnode.model.allocation import AllocationState, Cause
from farnode.providers.local import launch, proc, telling
from farnode.providers.local.record import KEEP, Record, Shelf
from farnode.providers.local.settings import LocalSettings


class Ledger:
    """`grace`: seconds between SIGTERM and SIGKILL. `clock` gives seconds since the epoch."""

    def __init__(
        self, settings: LocalSettings, script: Path, state: Path, clock: Callable[[], float], grace: float
    ) -> None:
        self._settings = settings
        self._script = script
        self._clock = clock
        self._grace = grace
        self._shelf = Shelf(state / "local")
        self._lock = Lock()
        self._boot = proc.boot_id()
        self._records = {record.nonce: record for record in self._shelf.load()}
        self._forget_old()

    def add(self, records: Iterable[Record]) -> None:
        """Take in allocations; one that is known already stays as it is."""
        with self._lock:
            self._forget_old()
            for record in records:
                if record.nonce not in self._records:
                    self._shelf.save(record)
                    self._records[record.nonce] = record
            self._advance()

    def cancel(self, nonces: Iterable[str]) -> None:
        with self._lock:
            for nonce in nonces:
                record = self._records.get(nonce)
                if record is not None and record.ended is None:
                    self._stop(record, Cause.CANCELLED, "it was cancelled")
            self._advance()

    def states(self, nonces: Iterable[str]) -> dict[str, AllocationState]:
        with self._lock:
            self._advance()
            now = self._clock()
            return {nonce: telling.state(self._records.get(nonce), now) for nonce in nonces}

    def advance(self) -> None:
        """Do what is due by now."""
        with self._lock:
            self._advance()

    def next_due(self) -> float | None:
        """Seconds until something is to be done; None: nothing before the next call."""
        with self._lock:
            times = [time for record in self._records.values() for time in self._times(record)]
        return max(0.0, min(times) - self._clock()) if times else None

    def _forget_old(self) -> None:
        now = self._clock()
        for record in list(self._records.values()):
            if record.ended is not None and now - record.ended_at > KEEP:
                del self._records[record.nonce]
                self._shelf.forget(record.nonce)

    def _times(self, record: Record) -> list[float]:
        if record.ended is not None:
            return []
        if record.pid is None:
            return [record.due] if record.due > self._clock() else []
        if record.stopping is not None:
            return [record.stopped_at + self._grace]
        if record.walltime is None or record.began is None:
            return []
        end = record.began + record.walltime
        return [end] if record.warned else [end - record.warning]

    def _advance(self) -> None:
        for record in list(self._records.values()):
            if record.running:
                self._tend(record)
        for record in self._records.values():
            if record.pid is None and record.ended is None and record.due <= self._clock() and self._fits(record):
                self._start(record)

    def _tend(self, record: Record) -> None:
        now = self._clock()
        if not self._alive(record):
            self._bury(record)
        elif record.stopping is not None and now >= record.stopped_at + self._grace:
            record.stopped_at = now  # what cannot die yet (a hung file system) is killed again after another grace
            proc.sweep(record.nonce)
            self._signal_group(record, signal.SIGKILL)
        elif record.walltime is not None and record.began is not None:
            left = record.began + record.walltime - now
            if left <= 0 and record.stopping is None:
                self._stop(record, Cause.WALLTIME, "")
            elif left <= record.warning and not record.warned:
                record.warned = True
                self._shelf.save(record)
                self._signal(record, signal.SIGUSR1)

    def _fits(self, wanted: Record) -> bool:
        running = [record for record in self._records.values() if record.running]
        gpus = self._settings.gpu.count if self._settings.gpu else 0
        return (
            sum(record.cores for record in running) + wanted.cores <= self._settings.cores
            and sum(record.memory for record in running) + wanted.memory <= self._settings.memory
            and sum(record.gpus for record in running) + wanted.gpus <= gpus
        )

    def _start(self, record: Record) -> None:
        taken = {device for other in self._records.values() if other.running for device in other.devices}
        count = self._settings.gpu.count if self._settings.gpu else 0
        record.devices = [device for device in range(count) if device not in taken][: record.gpus]
        try:
            held = launch.launch(record.nonce, self._script, record.directory, self._environment(record))
        except OSError as error:
            record.end(Cause.FAILED, self._clock(), f"the job script could not be started: {error}")
            self._shelf.save(record)
            return
        try:
            record.pid, record.start, record.boot = held.pid, proc.start_time(held.pid), self._boot
            record.began = self._clock()
            self._shelf.save(record)
            with suppress(BrokenPipeError):  # killed already; its end is found like any other
                held.release()
        finally:
            os.close(held.gate)

    def _environment(self, record: Record) -> dict[str, str]:
        devices = ",".join(map(str, record.devices))
        sizes = {"FARNODE_CORES": str(record.cores)}
        if record.memory:
            sizes["FARNODE_MEMORY"] = str(record.memory)
        gpus = {"FARNODE_GPUS": devices, "CUDA_VISIBLE_DEVICES": devices} if devices else {}
        return {**record.environment, **sizes, **gpus, proc.MARK: record.nonce}

    def _alive(self, record: Record) -> bool:
        assert record.pid is not None
        return record.boot == self._boot and proc.alive(record.pid, record.start)

    def _bury(self, record: Record) -> None:
        """The keeper is gone: end what it left behind, and say why, as a batch system would."""
        proc.sweep(record.nonce)
        code = launch.exit_code(record.directory)
        if code == launch.UNBORN:
            self._records.pop(record.nonce)
            self._shelf.forget(record.nonce)
            return
        cause, words = telling.verdict(record, code)
        record.end(cause, self._clock(), words)
        self._shelf.save(record)

    def _stop(self, record: Record, cause: Cause, words: str) -> None:
        if record.pid is None:
            record.end(cause, self._clock(), words)
        elif record.stopping is None:
            record.stop(cause, self._clock())
            self._signal_group(record, signal.SIGTERM)
        else:
            return
        self._shelf.save(record)

    def _signal_group(self, record: Record, number: int) -> None:
        if self._alive(record):
            assert record.pid is not None
            with suppress(ProcessLookupError):
                os.killpg(record.pid, number)

    def _signal(self, record: Record, number: int) -> None:
        assert record.pid is not None
        with suppress(ProcessLookupError):
            os.kill(record.pid, number)
