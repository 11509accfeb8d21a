"""The times of a site by the cluster's clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from farnode.model.times import rfc3339

Json = dict[str, Any]

_TIMES = frozenset(("startTime", "startedAt", "finishedAt", "lastTransitionTime"))


def corrected(status: Mapping[str, Any], skew: float) -> Json:
    """A v1.PodStatus with `skew` seconds added to each of its times, in whole seconds, as they are written."""
    seconds = round(skew)
    return _shifted(status, seconds) if seconds else dict(status)


def _shifted(value: Any, seconds: int) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _later(item, seconds) if key in _TIMES and item else _shifted(item, seconds)
            for key, item in value.items()
        }
    return [_shifted(item, seconds) for item in value] if isinstance(value, list) else value


def _later(time: str, seconds: int) -> str:
    return rfc3339(datetime.fromisoformat(time).timestamp() + seconds)
