"""What a container is doing, as v1.ContainerState says it."""

from __future__ import annotations

import time
from typing import Any, NamedTuple, Union


class Waiting(NamedTuple):
    reason: str
    message: str = ""


class Running(NamedTuple):
    started_at: float


class Terminated(NamedTuple):
    exit_code: int
    reason: str
    message: str
    started_at: float
    finished_at: float


State = Union[Waiting, Running, Terminated]


def rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def as_json(state: State | None, container_id: str) -> dict[str, Any]:
    """v1.ContainerState; empty for None."""
    if state is None:
        return {}
    if isinstance(state, Running):
        return {"running": {"startedAt": rfc3339(state.started_at)}}
    if isinstance(state, Waiting):
        return {"waiting": _without_empty(reason=state.reason, message=state.message)}
    return {
        "terminated": _without_empty(
            exitCode=state.exit_code,
            reason=state.reason,
            message=state.message,
            startedAt=rfc3339(state.started_at),
            finishedAt=rfc3339(state.finished_at),
            containerID=container_id,
        )
    }


def _without_empty(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value != ""}
