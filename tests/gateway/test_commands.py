"""Messages to runners as bytes."""

from __future__ import annotations

from typing import Any

import pytest

from farnode.gateway.commands import encoded, start
from farnode.gateway.reports import decode
from farnode.wire.frames import ProtocolError, decode_message


@pytest.mark.parametrize("order", [{"uid": "a", "text": "é"}, {"text": "\ud800"}, {"number": 2**70}, {}])
def test_a_runner_reads_what_is_encoded(order: dict[str, Any]) -> None:
    assert decode_message(start([encoded(order), encoded({"uid": "b"})])) == {
        "type": "start",
        "pods": [order, {"uid": "b"}],
    }


@pytest.mark.parametrize("payload", [b'{"type": "ping"}', b'{"type":"x","a":NaN}', b'{"type":"x","a":"\\ud800"}'])
def test_a_message_is_read_as_the_wire_reads_it(payload: bytes) -> None:
    assert repr(decode(payload)) == repr(decode_message(payload))


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"type":1}', b"\xff", b'{"type":"x"'])
def test_what_is_no_message_is_a_protocol_error(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(payload)
