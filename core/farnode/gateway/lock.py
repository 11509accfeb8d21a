"""One gateway per state directory.

flock(2) decides within one kernel. The file also names host and boot, for the words of the refusal, and against a
directory that two hosts see although it should be local: a holder of another kernel is believed to live.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType

from farnode.errors import Invalid

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class StateLock:
    """Held from construction to `release`; Invalid names who holds it."""

    def __init__(self, state: Path) -> None:
        self.path = state / "lock"
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take()
        except BaseException:
            os.close(self._file)
            raise

    def _take(self) -> None:
        holder = self._holder()
        me = {"host": socket.gethostname(), "boot": _BOOT.read_text().strip(), "pid": os.getpid(), "since": time.time()}
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise self._refusal(holder, "end that one first") from error
        if holder and holder.get("host") != me["host"] and holder.get("boot") != me["boot"]:
            raise self._refusal(holder, f"if it surely runs no more, remove {self.path}")
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(me).encode(), 0)

    def _holder(self) -> dict[str, object]:
        try:
            holder = json.loads(os.pread(self._file, 4096, 0) or b"{}")
        except ValueError:
            return {}
        return holder if isinstance(holder, dict) else {}

    def _refusal(self, holder: dict[str, object], remedy: str) -> Invalid:
        who = f"process {holder.get('pid', 'unknown')} on host {holder.get('host', 'unknown')}"
        return Invalid("state", f"{self.path.parent} belongs to another gateway, {who}; {remedy}")

    def release(self) -> None:
        """Also tells the next holder that this one ended in order."""
        os.ftruncate(self._file, 0)
        os.close(self._file)

    def __enter__(self) -> StateLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
