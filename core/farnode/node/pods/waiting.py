"""What a pod waits for at its site, in words for the status."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from farnode.model.api import PodView

Json = dict[str, Any]

_LISTS = ("initContainerStatuses", "containerStatuses")
_PLAIN = ("ContainerCreating", "PodInitializing")
"""Reasons to wait that say no more than that."""
_HALF_A_DAY = 43200


def waiting_words(view: PodView, skew: float, at: float | None) -> str:
    """Of a pod whose allocation is queued, such as `waiting in partition gpu (Resources), expected start 14:20 UTC`;
    "" for any other. `at`: now, where it is known, so that a time of today needs no date."""
    allocation = view.get("allocation") or {}
    if allocation.get("phase") != "queued":
        return ""
    place = f"in partition {allocation['partition']}" if allocation.get("partition") else "in the queue"
    reason = f" ({allocation['reason']})" if allocation.get("reason") else ""
    expected = allocation.get("expectedStart")
    start = "" if expected is None else _expected(expected + skew, at)
    return f"waiting {place}{reason}{start}"


def with_words(status: Mapping[str, Any], words: str) -> Json:
    """The status of a pod that waits, with these words where it and its containers say no more than that they wait."""
    if not words:
        return dict(status)
    lists = {key: [_told(one, words) for one in status[key]] for key in _LISTS if key in status}
    return {**status, "message": words, **lists}


def _told(container: Json, words: str) -> Json:
    waiting = (container.get("state") or {}).get("waiting")
    if waiting is None or waiting.get("reason") not in _PLAIN:
        return container
    return {**container, "state": {"waiting": {**waiting, "message": words}}}


def _expected(start: float, at: float | None) -> str:
    if at is not None and start <= at:
        return ""
    today = at is not None and start - at < _HALF_A_DAY
    return datetime.fromtimestamp(start, UTC).strftime(f", expected start {'' if today else '%Y-%m-%d '}%H:%M UTC")
