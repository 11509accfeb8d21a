"""What the machine decided, as messages to a runner and as the bytes of them: pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson

from farnode.gateway import stimuli as s
from farnode.wire.messages import Inputs, PodOrder

Command = s.StopPod | s.ForgetPod | s.AckEvents | s.DrainRunner


def command(effect: Command) -> dict[str, Any]:
    match effect:
        case s.StopPod(_, uid, attempt, grace, reason, message):
            stop = {"type": "stop", "uid": uid, "attempt": attempt, "reason": reason, "message": message}
            return stop if grace is None else {**stop, "grace": grace}
        case s.ForgetPod(_, uid, attempt):
            return {"type": "forget", "uid": uid, "attempt": attempt}
        case s.AckEvents(_, seq):
            return {"type": "ack", "seq": seq}
        case s.DrainRunner():
            return {"type": "drain"}


def inputs(order: PodOrder) -> Inputs:
    """The volumes of an order that can be replaced while it runs."""
    volumes = [volume for volume in order["volumes"] if volume["kind"] == "files"]
    attempt, version = order["attempt"], order["inputs"]
    return Inputs(type="inputs", uid=order["uid"], attempt=attempt, version=version, volumes=volumes)


def encoded(message: Any) -> bytes:
    """As JSON."""
    try:
        return orjson.dumps(message)
    except TypeError:  # half a surrogate pair, or a number beyond 64 bits
        return json.dumps(message, separators=(",", ":")).encode()


def start(orders: Iterable[bytes]) -> bytes:
    """The message that has these orders carried out."""
    return b'{"type":"start","pods":[' + b",".join(orders) + b"]}"
