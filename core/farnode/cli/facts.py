"""Names and values as `kubectl describe` lays them out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Fact = tuple[str, str | Sequence[str]]
"""A value of several lines stands below its name."""
NONE = "<none>"


def lay_out(facts: Iterable[Fact]) -> list[str]:
    """`Name:  value` lines, the values in one column; what has no value is left out."""
    told = [(f"{name}:", value) for name, value in facts if value]
    width = max((len(name) for name, value in told if isinstance(value, str)), default=0)
    lines: list[str] = []
    for name, value in told:
        if isinstance(value, str):
            first, *rest = value.split("\n")
            lines += [f"{name.ljust(width)}  {first}", *(" " * (width + 2) + line for line in rest)]
        else:
            lines += [name, *indented(value)]
    return lines


def indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def pairs(values: Mapping[str, Any] | None) -> str:
    """As `key=value`, one on a line."""
    return "\n".join(f"{key}={value}" for key, value in sorted((values or {}).items()))


def time(at: float) -> str:
    """Seconds since the epoch as RFC 3339."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def size(count: float) -> str:
    """Bytes in binary units."""
    for unit in ("", "Ki", "Mi", "Gi"):
        if count < 1024 or unit == "Gi":
            return f"{count:.0f}{unit}" if count >= 100 or not unit else f"{count:.1f}{unit}"
        count /= 1024
    raise AssertionError
