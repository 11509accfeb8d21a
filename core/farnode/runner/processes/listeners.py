"""Which address a process of a pod listens at.

Pods use their node's own network, which others use too: nobody but the pod's own processes is ever connected to. Who
listens is told by the kernel's tables of sockets (proc(5), /proc/net/tcp) and by who holds the socket open.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import struct
import time
from collections.abc import Collection, Mapping
from typing import NamedTuple

LISTEN, SYN_RECV = "0A", "03"
"""The kernel lists the listening sockets first; kernels before 4.4 put those being connected to between them."""
IPV4, IPV6 = "/proc/net/tcp", "/proc/net/tcp6"
LOOPBACK, LOOPBACK6 = "127.0.0.1", "::1"
ANY, ANY6 = "0.0.0.0", "::"  # noqa: S104 what is read, nothing is bound
ADDRESSES6 = "/proc/net/if_inet6"
MAPPED = "::ffff:"
REMEMBERED = 1024
FRESH = 1.0
"""Seconds for which what was read is used again; who holds a socket is looked at each time. Reading costs milliseconds,
for the kernel goes through its table of connections, too: a hundred probes a second took half a core."""


class Holder(NamedTuple):
    """The process that holds a socket, and its descriptor."""

    pid: int
    descriptor: str


_holders: dict[str, Holder] = {}
"""By inode: who held it when it was last looked for. Believed only after a look whether it still does."""


class Table(NamedTuple):
    """Of all sockets that listen: addresses by inode, by port. `read_at` by the monotonic clock."""

    read_at: float
    ports: dict[int, dict[str, str]]


_table = Table(-math.inf, {})


def address_of(port: int, pids: Collection[int]) -> str | None:
    """The loopback address (127.0.0.1, ::1) or interface address at which one of these processes listens on a TCP
    port; None where none does."""
    global _table
    known = _table.ports.get(port, {}) if time.monotonic() - _table.read_at < FRESH else {}
    if known and (ANY6 not in known.values() or _has_loopback6()):
        address = _address_in(known, pids)
        if address is not None:
            return address
    _table = Table(time.monotonic(), _read())
    return _address_in(_table.ports.get(port, {}), pids)


def _address_in(listening: Mapping[str, str], pids: Collection[int]) -> str | None:
    found = _remembered(listening.keys(), pids) or _find(listening.keys(), pids)
    return None if found is None else _reachable(listening[found], listening.values())


def _read() -> dict[int, dict[str, str]]:
    ports: dict[int, dict[str, str]] = {}
    for path in (IPV4, IPV6):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as lines:
            next(lines)
            for line in lines:
                _, local, _, state, _, _, _, _, _, inode, *_ = line.split()
                if state not in (LISTEN, SYN_RECV):
                    break
                address, _, port = local.partition(":")
                if state == LISTEN:
                    ports.setdefault(int(port, 16), {})[inode] = _text(address)
    return ports


def _text(digits: str) -> str:
    """An address as it is written, from 32-bit words in the byte order of this machine."""
    words = struct.pack(f"={len(digits) // 8}I", *(int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)))
    text = socket.inet_ntop(socket.AF_INET if len(words) == 4 else socket.AF_INET6, words)
    return text.removeprefix(MAPPED)


def _reachable(address: str, all_addresses: Collection[str]) -> str | None:
    """A socket at :: takes IPv4 too, unless it was told not to: ::1 reaches it either way. On a node without that, IPv4
    does, but for a socket of somebody else there."""
    if address == ANY:
        return LOOPBACK
    if address != ANY6:
        return address
    if _has_loopback6():
        return LOOPBACK6
    return LOOPBACK if all(":" in one for one in all_addresses) else None


def _has_loopback6() -> bool:
    with contextlib.suppress(OSError), open(ADDRESSES6, encoding="ascii") as lines:
        return any(int(line.split()[0], 16) == 1 for line in lines)
    return False


def _remembered(inodes: Collection[str], pids: Collection[int]) -> str | None:
    for inode in inodes:
        holder = _holders.get(inode)
        if holder is not None and holder.pid in pids and _holds(holder, inode):
            return inode
    return None


def _find(inodes: Collection[str], pids: Collection[int]) -> str | None:
    """One of the sockets that one of the processes holds."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    for pid in pids if wanted else ():
        for descriptor in _descriptors(pid):
            inode = wanted.get(_target(pid, descriptor), "")
            if inode:
                _remember(inode, Holder(pid, descriptor))
                return inode
    return None


def _remember(inode: str, holder: Holder) -> None:
    if len(_holders) >= REMEMBERED:
        _holders.clear()
    _holders[inode] = holder


def _holds(holder: Holder, inode: str) -> bool:
    return _target(*holder) == f"socket:[{inode}]"


def _descriptors(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return []


def _target(pid: int, descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/{descriptor}")
    except OSError:
        return ""
