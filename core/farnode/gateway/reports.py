"""What runners say, checked at the door: pods run as the same account, so anything may stand in a message or a file.

What does not have the shapes of `wire.messages` is dropped and logged; nothing a runner says may end the gateway.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any, cast

import orjson

from farnode.wire.frames import ProtocolError
from farnode.wire.messages import EventFrame, Held, Hello

log = logging.getLogger(__name__)

PHASES = ("Pending", "Running", "Succeeded", "Failed")


def read_hello(message: dict[str, Any]) -> Hello:
    """The message, with what it lacks; ProtocolError when it is not one."""
    capacity, held = message.get("capacity", {}), message.get("held", [])
    fine = (
        _all(message.get("protocols"), int)
        and all(isinstance(message.get(name), str) for name in ("nonce", "incarnation"))
        and all(isinstance(message.get(name, ""), str) for name in ("token", "session", "host", "job"))
        and isinstance(capacity, dict)
        and _all(capacity.get("gpus", []), str)
        and isinstance(held, list)
        and all(map(_is_held, held))
    )
    if not fine:
        raise ProtocolError("a hello that is none")
    return cast("Hello", {**message, "capacity": {"gpus": capacity.get("gpus", [])}, "held": held})


def read_events(values: object) -> list[EventFrame]:
    """Those that are events, in order."""
    if not isinstance(values, list):
        log.error("events that are no list are dropped")
        return []
    return list(_events(values))


def _events(values: Iterable[object]) -> Iterable[EventFrame]:
    for value in values:
        if _is_event(value):
            yield cast("EventFrame", _as_text(value))
        else:
            log.error("an event that is none is dropped: %.200r", value)


def _as_text(value: object) -> object:
    """Half a surrogate pair is JSON but no text: no database takes it."""
    try:
        orjson.dumps(value)
    except TypeError:
        return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def _is_event(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    logs = value.get("logs", {})
    return (
        all(_is_int(value.get(name)) for name in ("seq", "attempt"))
        and isinstance(value.get("uid"), str)
        and value.get("phase") in PHASES
        and all(isinstance(value.get(name, ""), str) for name in ("reason", "message", "host_ip", "pod_ip"))
        and all(isinstance(value.get(name, 0.0), int | float) for name in ("at", "started_at"))
        and all(_is_containers(value.get(name, [])) for name in ("containers", "init_containers"))
        and _all(value.get("gpus", []), str)
        and isinstance(value.get("notes", []), list)
        and all(map(_is_note, value.get("notes", [])))
        and isinstance(logs, dict)
        and all(map(_is_int, logs.values()))
    )


def _is_containers(values: object) -> bool:
    return isinstance(values, list) and all(map(_is_container, values))


def _is_container(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    states = (value.get("state"), value.get("lastState", {}))
    return (
        isinstance(value.get("name"), str)
        and _is_int(value.get("restartCount", 0))
        and all(isinstance(state, dict) and all(isinstance(one, dict) for one in state.values()) for state in states)
    )


def _is_note(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    words = all(isinstance(value.get(name), str) for name in ("kind", "reason", "message"))
    return words and isinstance(value.get("at"), int | float)


def _is_held(value: Held) -> bool:
    if not isinstance(value, dict):
        return False
    numbers = (value.get("attempt"), value.get("inputs", 0))
    return isinstance(value.get("uid"), str) and all(map(_is_int, numbers)) and isinstance(value.get("ended"), bool)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _all(values: object, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)
