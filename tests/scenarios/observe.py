"""What became of a pod, in the words scenarios use; only what is asked for, so that it can be compared as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from farnode import Client, Pod

Status = Mapping[str, Any]


def _terminated(status: Status) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (status.get("state") or {}).get("terminated") or {}
    return found


def _last(status: Status, wanted: Any) -> Any:
    last = (status.get("lastState") or {}).get("terminated")
    if last is None or wanted is None:
        return last
    return {"exit": last.get("exitCode"), "reason": last.get("reason")}


def _words(text: str, wanted: str) -> str:
    """The words wanted where the text has them; else all of it, to be read in the failure."""
    return wanted if wanted in text else text


CONTAINER: Mapping[str, Callable[[Status, Any], Any]] = {
    "exit": lambda status, _: _terminated(status).get("exitCode"),
    "reason": lambda status, _: _terminated(status).get("reason"),
    "message": lambda status, _: _terminated(status).get("message", ""),
    "words": lambda status, wanted: _words(_terminated(status).get("message", ""), wanted),
    "restarts": lambda status, _: status.get("restartCount"),
    "waiting": lambda status, _: ((status.get("state") or {}).get("waiting") or {}).get("reason"),
    "last": _last,
}


def observed(pod: Pod, expect: Mapping[str, Any], logs: Mapping[str, str]) -> dict[str, Any]:
    """The counterpart of a scenario's `expect`; `logs` by container."""
    found: dict[str, Any] = {}
    for key, wanted in expect.items():
        if key == "containers":
            statuses = pod.container_statuses
            found[key] = {
                name: {one: CONTAINER[one](statuses.get(name, {}), value) for one, value in asked.items()}
                for name, asked in wanted.items()
            }
        elif key == "logs":
            found[key] = {name: logs.get(name) for name in wanted}
        elif key == "words":
            found[key] = _words(pod.message, wanted)
        elif key == "notes":
            reasons = [str(note.get("reason")) for note in pod.notes]
            found[key] = wanted if set(wanted) <= set(reasons) else reasons
        else:
            found[key] = {"phase": pod.phase, "reason": pod.reason}[key]
    return found


def log(client: Client, pod: Pod | str, container: str | None = None, **options: Any) -> bytes:
    return b"".join(client.logs(pod, container, **options))


def story(pod: Pod) -> str:
    """For failures: the status and what was noted."""
    notes = "\n".join(f"  {note.get('reason')}: {note.get('message')}" for note in pod.notes)
    return f"{pod.status}\n{notes}"
