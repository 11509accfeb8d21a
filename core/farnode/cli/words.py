"""A pod's state in the few words of a column, as kubectl says them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from farnode.client.pod import Pod

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def status(pod: Pod) -> str:
    """The STATUS column: the most telling of phase, reason and what its containers wait for."""
    if pod.ended:
        return "Completed" if pod.succeeded else pod.reason or _end_reason(pod) or pod.phase
    if pod.deleting:
        return "Terminating"
    return _initialising(pod) or _waiting(pod) or _before(pod) or pod.phase


def why(pod: Pod) -> str:
    """What it waits for or failed of, for a person; empty when there is nothing to say."""
    if pod.message:
        return pod.message
    if pod.phase == "Pending" and not pod.ended:
        return pod.allocation.get("words") or pod.allocation.get("reason") or ""
    return next((state["message"] for state in _states(pod) if state.get("message")), "")


def ready(pod: Pod) -> str:
    """As 1/2."""
    count = sum(bool(container.get("ready")) for container in pod.status.get("containerStatuses") or ())
    return f"{count}/{len(pod.containers)}"


def where(pod: Pod) -> str:
    """Its node at the site and the batch job, as far as they are known."""
    parts = [",".join(pod.allocation.get("nodes") or ()), pod.allocation.get("job") or ""]
    return " ".join(part for part in parts if part)


def age(since: str, now: float) -> str:
    """Since an RFC 3339 time, in its largest unit or two: 45s, 12m, 3h, 2d."""
    return span(now - seconds(since)) if since else ""


def span(length: float) -> str:
    """A duration in its largest unit, with the next one while the number is small."""
    left = max(0, int(length))
    for size, unit in _UNITS:
        if left >= 2 * size or (unit != "m" and left >= size):
            whole, rest = divmod(left, size)
            smaller = next(((s, u) for s, u in (*_UNITS, (1, "s")) if s < size), (1, "s"))
            more = rest // smaller[0]
            return f"{whole}{unit}{more}{smaller[1]}" if whole < 10 and more else f"{whole}{unit}"
    return f"{left}s"


def seconds(time: str) -> float:
    """RFC 3339 -> seconds since the epoch."""
    return datetime.fromisoformat(time).astimezone(UTC).timestamp()


def _initialising(pod: Pod) -> str:
    if not pod.init_containers or pod.phase != "Pending":
        return ""
    statuses = pod.status.get("initContainerStatuses") or ()
    done = sum(_ended_well(container) for container in statuses)
    begun = any((container.get("state") or {}).keys() & {"running", "terminated"} for container in statuses)
    return f"Init:{done}/{len(pod.init_containers)}" if begun and done < len(pod.init_containers) else ""


def _ended_well(container: Mapping[str, Any]) -> bool:
    ended = (container.get("state") or {}).get("terminated")
    return ended is not None and not _failed(ended)


def _waiting(pod: Pod) -> str:
    return next((state["reason"] for state in _states(pod, "waiting") if state.get("reason")), "")


def _before(pod: Pod) -> str:
    return "Queued" if pod.phase == "Pending" and pod.allocation.get("phase") == "queued" else ""


def _end_reason(pod: Pod) -> str:
    return next((str(state.get("reason") or "Error") for state in _states(pod, "terminated") if _failed(state)), "")


def _failed(state: Mapping[str, Any]) -> bool:
    return bool(state.get("exitCode"))


def _states(pod: Pod, *kinds: str) -> Iterable[Mapping[str, Any]]:
    for container in pod.container_statuses.values():
        state = container.get("state") or {}
        for kind in kinds or ("waiting", "terminated"):
            if state.get(kind):
                yield state[kind]
