"""What commands print: columns for people, JSON and YAML for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
import yaml

from farnode.cli import words
from farnode.client.pod import Pod

FORMATS = click.Choice(["wide", "json", "yaml", "name"])


GAP = 3
"""Spaces between columns."""


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned, nothing behind the last."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        (" " * GAP).join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def pods(found: Sequence[Pod], form: str | None, now: float) -> str:
    """The list in one of FORMATS; None is the usual table."""
    if form in ("json", "yaml"):
        return data([pod.view for pod in found], form)
    if form == "name":
        return "\n".join(str(pod) for pod in found)
    several = len({pod.namespace for pod in found}) > 1
    return columns([heading(several, form == "wide"), *(row(pod, now, several, form == "wide") for pod in found)])


def heading(namespaces: bool, wide: bool) -> list[str]:
    return [
        *(["NAMESPACE"] if namespaces else []),
        *("NAME", "READY", "STATUS", "RESTARTS", "AGE"),
        *(["WHERE", "GPUS", "UID", "WHY"] if wide else []),
    ]


def row(pod: Pod, now: float, namespace: bool, wide: bool) -> list[str]:
    """Of one pod; `now` in seconds since the epoch."""
    usual = [pod.name, words.ready(pod), words.status(pod), str(pod.restarts), words.age(pod.created_at, now)]
    more = [words.where(pod) or "<none>", ",".join(pod.gpus) or "<none>", pod.uid, words.why(pod)] if wide else []
    return [*([pod.namespace] if namespace else []), *usual, *more]


def data(value: Any, form: str) -> str:
    """As JSON or YAML."""
    if form == "yaml":
        return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n")
    return json.dumps(value, indent=2, ensure_ascii=False)
