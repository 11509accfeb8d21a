"""What runners say is checked at the door: whatever it is, nothing but ProtocolError comes out."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farnode.gateway.reports import read_events, read_hello
from farnode.wire.frames import ProtocolError

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
EVENT: dict[str, Any] = {"seq": 1, "uid": "u", "attempt": 1, "at": 1.0, "phase": "Running", "containers": []}
HELLO: dict[str, Any] = {"type": "hello", "protocols": [1], "nonce": "n", "incarnation": "i"}


@given(ANYTHING)
def test_no_list_of_events_is_too_strange(value: object) -> None:
    assert read_events(value) == []


@given(st.sampled_from(["seq", "uid", "attempt", "phase", "containers", "notes", "logs", "gpus", "at"]), ANYTHING)
def test_an_event_with_a_strange_field_is_dropped_or_can_be_stored(field: str, value: object) -> None:
    for event in read_events([{**EVENT, field: value}]):
        orjson.dumps(event, option=orjson.OPT_NON_STR_KEYS)


FIELDS = ["protocols", "nonce", "incarnation", "capacity", "held", "token", "job", "runtimes", "ends_at", "time"]


@given(st.sampled_from(FIELDS), ANYTHING)
def test_a_strange_hello_is_a_protocol_error(field: str, value: object) -> None:
    with contextlib.suppress(ProtocolError):
        read_hello({**HELLO, field: value})


def test_half_a_surrogate_pair_becomes_text() -> None:
    (event,) = read_events([{**EVENT, "message": "\ud800"}])
    assert event["message"] == "?"


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "field",
    [
        {"started_at": 1e300},
        {"started_at": float("nan")},
        {"at": -1e14},
        {"seq": 2**70},
        {"logs": {"a": 2**70}},
        {"notes": [{"at": 2**70, "kind": "k", "reason": "r", "message": "m"}]},
        {"containers": [{"name": "c", "state": {"running": {"startedAt": 2**70}}}]},
        {"containers": [{"name": "c", "state": {"running": nested(250)}}]},
    ],
)
def test_what_no_record_could_hold_is_dropped(field: dict[str, Any]) -> None:
    assert read_events([{**EVENT, **field}, EVENT]) == [EVENT]


def test_a_hello_is_made_text() -> None:
    assert read_hello({**HELLO, "host": "\ud800"})["host"] == "?"


def test_good_ones_pass_beside_bad_ones() -> None:
    assert read_events([{**EVENT, "seq": "9"}, EVENT, 5]) == [EVENT]


def test_a_hello_gets_what_it_lacks() -> None:
    hello = read_hello(HELLO)
    assert (hello["capacity"], hello["held"]) == ({"gpus": []}, [])


@pytest.mark.parametrize("held", [[{"uid": "x"}], [5], "x"])
def test_attempts_held_are_checked(held: object) -> None:
    with pytest.raises(ProtocolError):
        read_hello({**HELLO, "held": held})
