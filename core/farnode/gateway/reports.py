"""What runners say, checked at the door: pods run as the same account, so anything may stand in a message or a file.

What does not have the shapes of `wire.messages` is dropped and logged; nothing a runner says may end the gateway.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

import orjson

from farnode.wire.frames import ProtocolError, decode_message
from farnode.wire.messages import EventFrame, Held, Hello

log = logging.getLogger(__name__)

PHASES = ("Pending", "Running", "Succeeded", "Failed")
_DEPTH = 16
"""How deep in records and answers what a runner says may come to stand."""
_LATEST = 253402300800
"""Seconds: the end of the year 9999, the last one that has a name in RFC 3339."""


def decode(payload: bytes) -> dict[str, Any]:
    """As the wire's own, in a quarter of the time; what is JSON to the standard library alone is left to that."""
    with suppress(orjson.JSONDecodeError):
        message = orjson.loads(payload)
        if isinstance(message, dict) and isinstance(message.get("type"), str):
            return message
    return decode_message(payload)


def read_hello(message: dict[str, Any]) -> Hello:
    """The message, with what it lacks; ProtocolError when it is not one."""
    capacity, held = message.get("capacity", {}), message.get("held", [])
    fine = (
        _all(message.get("protocols"), int)
        and all(isinstance(message.get(name), str) for name in ("nonce", "incarnation"))
        and all(isinstance(message.get(name, ""), str) for name in ("token", "session", "host", "address", "job"))
        and isinstance(capacity, dict)
        and _all(capacity.get("gpus", []), str)
        and _is_runtimes(message.get("runtimes", {}))
        and _is_time(message.get("time", 0.0))
        and (message.get("ends_at") is None or _is_time(message["ends_at"]))
        and isinstance(held, list)
        and all(map(_is_held, held))
    )
    if not fine or (text := _storable(message)) is None:
        raise ProtocolError("a hello that is none")
    hello = cast("dict[str, Any]", text)
    capacity, held = hello.get("capacity", {}), hello.get("held", [])
    return cast("Hello", {**hello, "capacity": {"gpus": capacity.get("gpus", [])}, "held": held})


def read_events(values: object) -> list[EventFrame]:
    """Those that are events, in order."""
    if not isinstance(values, list):
        log.error("events that are no list are dropped")
        return []
    if all(map(_is_event, values)) and _is_storable(values):
        return values
    return list(_events(values))


def _events(values: Iterable[object]) -> Iterable[EventFrame]:
    for value in values:
        event = _storable(value) if _is_event(value) else None
        if event is not None:
            yield cast("EventFrame", event)
        else:
            log.error("an event that is none is dropped: %.200r", value)


def _storable(value: object) -> object | None:
    """As a database takes it: half a surrogate pair is JSON but no text. None for what it cannot take: a number beyond
    64 bits, and what is nested too deep to become a part of a record."""
    if _is_storable(value):
        return value
    with suppress(TypeError, RecursionError):
        text: object = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
        return text if _is_storable(text) else None
    return None


def _is_storable(value: object) -> bool:
    with suppress(TypeError):
        orjson.dumps(_wrapped(value))
        return True
    return False


def _wrapped(value: object) -> object:
    for _ in range(_DEPTH):
        value = [value]
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
        and all(_is_time(value.get(name, 0.0)) for name in ("at", "started_at"))
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
    return words and _is_time(value.get("at"))


def _is_runtimes(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(words, str) for words in value.values())


def _is_held(value: Held) -> bool:
    if not isinstance(value, dict):
        return False
    numbers = (value.get("attempt"), value.get("inputs", 0))
    return isinstance(value.get("uid"), str) and all(map(_is_int, numbers)) and isinstance(value.get("ended"), bool)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < _LATEST


def _all(values: object, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)
