"""All allocations of the embedded site. Blocking and without an event loop: the provider calls it in a thread."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from farnode.model.allocation import AllocationState, Cause, Phase
from farnode.providers.local import launch, proc
from farnode.providers.local.record import Record, Shelf
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
        self._records = {record.nonce: record for record in self._shelf.load(clock())}

    def add(self, records: Iterable[Record]) -> None:
        """Take in allocations; one that is known already stays as it is."""
        with self._lock:
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
            return {nonce: self._state(self._records.get(nonce)) for nonce in nonces}

    def advance(self) -> None:
        """Do what is due by now."""
        with self._lock:
            self._advance()

    def next_due(self) -> float | None:
        """Seconds until something is to be done; None: nothing before the next call."""
        with self._lock:
            times = [time for record in self._records.values() for time in self._times(record)]
        return max(0.0, min(times) - self._clock()) if times else None

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
        record.end(*_verdict(record, code, self._clock()))
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

    def _state(self, record: Record | None) -> AllocationState:
        if record is None:
            return AllocationState(Phase.ABSENT)
        job = record.nonce
        if record.ended is not None:
            cause = Cause(record.ended)
            return AllocationState(Phase.ENDED, job, cause, cause.value, record.words)
        if record.running:
            return AllocationState(Phase.RUNNING, job, words="it is running", nodes=(os.uname().nodename,))
        if record.due > self._clock():
            words = "it waits in the site's pretended queue"
            return AllocationState(Phase.QUEUED, job, None, "QueueDelay", words, expected_start=record.due)
        words = "it waits for other allocations to leave enough cores, memory and GPUs"
        return AllocationState(Phase.QUEUED, job, None, "Resources", words)


def _verdict(record: Record, code: int | str | None, now: float) -> tuple[Cause, float, str]:
    if record.stopping == Cause.WALLTIME.value:
        return Cause.WALLTIME, now, f"it reached its time limit of {record.walltime} s"
    if record.stopping is not None:
        return Cause(record.stopping), now, "it was cancelled"
    if code == 0:
        return Cause.COMPLETED, now, "the job script ended by itself"
    if isinstance(code, int):
        end = f"was ended by signal {code - 128}" if code > 128 else f"ended with exit code {code}"
        return Cause.FAILED, now, f"the job script {end}; see job.out"
    return Cause.FAILED, now, "its processes were killed by somebody, or the machine was restarted"
