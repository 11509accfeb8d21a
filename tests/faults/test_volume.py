"""A gigabyte through the gateway to a client that hesitates: the gateway's memory does not know how much it was."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from farnode import Client, Pod
from farnode.runner.output.execution import DRAIN
from tests.faults.sites import Faulty
from tests.faults.testimony import pod
from tests.sites import wait_until

GIGABYTE = 1_000_000_000
ALLOWED = 50 << 20
"""Bytes the gateway may grow by while it streams."""
PATIENCE = 240
FLOOD = f"yes 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde | head -c {GIGABYTE}"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def site() -> Iterator[Faulty]:
    with Faulty(settings={"limits": {"logSize": "4Gi"}}) as site:
        yield site


class Memory:
    """The gateway's greatest resident set while the block lasts."""

    def __init__(self, site: Faulty) -> None:
        self._status = Path(f"/proc/{site.pid}/status")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.first = self.greatest = self._now()

    def _now(self) -> int:
        line = next(line for line in self._status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.greatest = max(self.greatest, self._now())

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def check(self) -> None:
        grown = self.greatest - self.first
        print(f"the gateway grew by {grown / 2**20:.1f} MiB from {self.first / 2**20:.1f} MiB")
        assert grown < ALLOWED


def _count(chunks: Iterable[bytes]) -> int:
    """All of it, with a rest after the first chunk for whoever would like to run ahead."""
    total = 0
    for chunk in chunks:
        if not total:
            time.sleep(2)  # a reader that does not read: what is under test
        total += len(chunk)
    return total


def _running(client: Client, name: str, script: str) -> Pod:
    (submitted,) = client.submit(pod(name, script))
    wait_until(lambda: client.pod(submitted).phase != "Pending", f"{name} runs", 30)
    return submitted


def test_a_log_of_a_gigabyte(site: Faulty) -> None:
    with site.client() as client:
        flood = _running(client, "flood", FLOOD)
        with Memory(site) as memory:
            live = _count(client.logs(flood, follow=True))
        assert live == GIGABYTE
        memory.check()
        assert client.wait(flood).succeeded
        with Memory(site) as memory:
            afterwards = _count(client.logs(flood))
        assert afterwards == GIGABYTE
        memory.check()
        client.delete(flood, purge=True)


def test_an_exec_of_a_gigabyte(site: Faulty) -> None:
    with site.client() as client:
        holder = _running(client, "holder", "exec sleep 600")
        with Memory(site) as memory, client.exec(holder, ["sh", "-c", FLOOD]) as session:
            received = _count(output.data for output in session)
        assert received == GIGABYTE
        assert session.exit_code == 0
        memory.check()
        client.delete(holder, grace=0)


FULL = """\
import os, time
os.set_blocking(1, False)
written, quiet = 0, time.monotonic()
while time.monotonic() - quiet < 0.5:
    try:
        written += os.write(1, b"x" * 4096)
        quiet = time.monotonic()
    except BlockingIOError:
        time.sleep(0.01)
print(written, file=__import__("sys").stderr)
"""
"""Writes until everything between it and its reader is full, says how much that was, and ends."""


def test_the_end_of_a_command_waits_for_a_slow_reader(site: Faulty) -> None:
    """All was written and the command is gone, but its reader takes its time: not a byte may be missing."""
    with site.client() as client:
        holder = _running(client, "slow", "exec sleep 600")
        with client.exec(holder, [sys.executable, "-c", FULL]) as session:
            outputs = iter(session)
            first = next(outputs)
            wait_until(lambda: not _alive(site, "BlockingIOError"), "the command ends", 30)
            time.sleep(DRAIN + 1)  # longer than the runner waits for a silent pipe
            rest = list(outputs)
        received = sum(len(output.data) for output in [first, *rest] if output.stream == "stdout")
        assert received == int(b"".join(output.data for output in rest if output.stream == "stderr"))
        assert session.exit_code == 0
        client.delete(holder, grace=0)


def _alive(site: Faulty, word: str) -> bool:
    return any(word in line for line in site.command_lines())
