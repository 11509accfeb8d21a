"""Partitions and nodes as `scontrol --oneliner show …` prints them: one thing a line, `Key=value` between blanks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MIB = 1 << 20
PAIR = re.compile(r"(?:^|\s)([A-Za-z][\w:/]*)=(\S*)")
CLOSED = {
    "DOWN": "the partition is down: jobs are taken but do not start",
    "DRAIN": "the partition is drained: it takes no new jobs",
    "INACTIVE": "the partition is inactive: it takes no new jobs",
}
UNUSABLE = {"DOWN", "ERROR", "FAIL", "FAILING", "UNKNOWN", "DRAIN", "DRAINED", "DRAINING", "INVAL", "INVALID_REG"}
UNUSABLE |= {"NOT_RESPONDING"}
EVERYBODY = ("", "ALL", "(null)")


@dataclass(frozen=True, slots=True)
class Partition:
    """`max_time` in seconds, None without limit; `cores` and `memory` (bytes) at most of one node, None: all of it.
    `accounts` and `qos` are those admitted, None: all."""

    name: str
    default: bool = False
    max_time: int | None = None
    problem: str | None = None
    cores: int | None = None
    memory: int | None = None
    accounts: frozenset[str] | None = None
    denied: frozenset[str] = frozenset()
    qos: frozenset[str] | None = None
    own_qos: str | None = None

    def admits(self, account: str) -> bool:
        return account not in self.denied and (self.accounts is None or account in self.accounts)


@dataclass(frozen=True, slots=True)
class Node:
    """`memory` in bytes; `gres` as Slurm writes it."""

    name: str
    cores: int
    memory: int
    gres: str
    partitions: tuple[str, ...]
    usable: bool


def partitions(text: str) -> Iterator[Partition]:
    for values in _lines(text):
        if name := values.get("PartitionName"):
            yield Partition(
                name=name,
                default=values.get("Default") == "YES",
                max_time=seconds(values.get("MaxTime", "")),
                problem=CLOSED.get(values.get("State", "UP").upper()),
                cores=_number(values.get("MaxCPUsPerNode")),
                memory=(_number(values.get("MaxMemPerNode")) or 0) * MIB or None,
                accounts=_names(values.get("AllowAccounts")),
                denied=_names(values.get("DenyAccounts")) or frozenset(),
                qos=_names(values.get("AllowQos")),
                own_qos=values.get("QoS") if values.get("QoS") not in ("N/A", None, "") else None,
            )


def nodes(text: str) -> Iterator[Node]:
    """Nodes kept for later (FUTURE) are none yet. What is set aside for the system (MemSpecLimit) is not offered."""
    for values in _lines(text):
        states = {state.rstrip("*~#!%$@^-") for state in values.get("State", "UNKNOWN").upper().split("+")}
        name, cores = values.get("NodeName"), _number(values.get("CPUEfctv")) or _number(values.get("CPUTot"))
        if name and cores and "FUTURE" not in states:
            memory = (_number(values.get("RealMemory")) or 0) - (_number(values.get("MemSpecLimit")) or 0)
            named = values.get("Partitions", "")
            gres = values.get("Gres", "").replace("(null)", "")
            yield Node(name, cores, memory * MIB, gres, tuple(filter(None, named.split(","))), not states & UNUSABLE)


def config(text: str) -> dict[str, str]:
    """`scontrol show config`: `Key   = value`, one a line."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, equals, value in pairs if equals and key[:1].strip()}


def seconds(text: str) -> int | None:
    """`days-hours:minutes:seconds` in any of Slurm's short forms; None for UNLIMITED, empty or noise."""
    match = re.fullmatch(r"(?:(\d{1,6})-)?(\d{1,6})(?::(\d{1,6}))?(?::(\d{1,6}))?", text, re.ASCII)
    if match is None:
        return None
    days, *rest = match.groups()
    parts = [int(part) for part in rest if part is not None]
    if days is not None:
        hours, minutes, secs = [*parts, 0, 0][:3]
    elif len(parts) == 3:
        hours, minutes, secs = parts
    else:
        hours, (minutes, secs) = 0, [*parts, 0][:2]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + secs


def _lines(text: str) -> Iterator[dict[str, str]]:
    """The first of two equal keys counts: later ones are words in somebody's comment."""
    for line in text.splitlines():
        pairs: dict[str, str] = {}
        for key, value in PAIR.findall(line):
            pairs.setdefault(key, value)
        yield pairs


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else None


def _names(text: str | None) -> frozenset[str] | None:
    return None if text is None or text in EVERYBODY else frozenset(text.split(","))
