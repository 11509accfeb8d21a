"""How much memory processes hold that nobody could take from them.

That is what the kernel charges a container that has a cgroup of its own, without the part it would give back under
pressure: pages of anonymous memory and of tmpfs, and what of them lies in swap. Pages of mapped files are the page
cache's, and a program that maps a data set larger than its limit is not ended for it.

Two readings, and why there are two (6.18, Python 3.11, one process of 10 MiB):

    /proc/<pid>/status         12 µs   RssAnon + RssShmem + VmSwap: counts pages that forked processes share once each,
                                       so it is never less than the truth
    /proc/<pid>/smaps_rollup  250 µs   Pss_Anon + Pss_Shmem + SwapPss: the truth; walks the page tables, 20 ms per GiB

So the dear one is read only where the cheap one is above the limit. (`statm` has no word for anonymous memory: its
`resident - shared` leaves shared memory out.)
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
from collections.abc import Iterable
from typing import NamedTuple

KCMP = {"x86_64": 312, "aarch64": 272, "ppc64le": 354}
KCMP_VM = 1
BOUND = (b"RssAnon", b"RssShmem", b"VmSwap")
EXACT = (b"Pss_Anon", b"Pss_Shmem", b"SwapPss")
LINES = re.compile(rb"\n(Rss\w+|Vm(?:Swap|Size)|Pss\w*|SwapPss):\s+(\d+) kB")

_syscall = ctypes.CDLL(None, use_errno=True).syscall


class Held(NamedTuple):
    """Bytes: of anonymous memory, swapped out or not, and of shared memory, tmpfs files that are mapped among it."""

    private: int
    shared: int

    @property
    def total(self) -> int:
        return self.private + self.shared


NOTHING = Held(0, 0)


def bound(pids: Iterable[int]) -> Held:
    """At least what they hold together; those that are gone hold nothing."""
    return _sum(_held(_fields(pid, "status"), BOUND) for pid in pids)


def exact(parents: Iterable[tuple[int, int]]) -> Held:
    """What they hold together; `parents` are pairs of process and parent."""
    pairs = list(parents)
    known = {pid for pid, _ in pairs}
    return _sum(_exact(pid) for pid, parent in pairs if parent not in known or not share_memory(pid, parent))


def share_memory(pid: int, parent: int) -> bool:
    """Whether a process just made by vfork still is in its parent's memory, which would count twice otherwise. Where
    the kernel does not say, those of the same size do: too little for a moment is better than too much."""
    number = KCMP.get(platform.machine())
    if number is not None:
        different = _syscall(number, pid, parent, KCMP_VM, 0, 0)
        if different >= 0:
            return bool(different == 0)
    size = _fields(pid, "status").get(b"VmSize")
    return size is not None and size == _fields(parent, "status").get(b"VmSize")


def _exact(pid: int) -> Held:
    """Kernels before 5.3 do not split the sum: there file pages go off it as if none were shared. A process that does
    not let itself be looked at counts with its bound."""
    fields = _fields(pid, "smaps_rollup")
    if EXACT[0] in fields:
        return _held(fields, EXACT)
    status = _fields(pid, "status")
    if b"Pss" not in fields:
        return _held(status, BOUND)
    return Held(max(0, fields[b"Pss"] - status.get(b"RssFile", 0)) + fields.get(b"SwapPss", 0), 0)


def _held(fields: dict[bytes, int], names: tuple[bytes, bytes, bytes]) -> Held:
    private, shared, swap = (fields.get(name, 0) for name in names)
    return Held(private + swap, shared)


def _sum(parts: Iterable[Held]) -> Held:
    private = shared = 0
    for part in parts:
        private += part.private
        shared += part.shared
    return Held(private, shared)


def _fields(pid: int, name: str) -> dict[bytes, int]:
    """The lines `Name: 12 kB` that we know, in bytes; none when the process is gone or does not let us look."""
    return {key: int(number) * 1024 for key, number in LINES.findall(read(f"/proc/{pid}/{name}"))}


def read(path: str) -> bytes:
    """A file of a process, whole; nothing when the process is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 8192)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
