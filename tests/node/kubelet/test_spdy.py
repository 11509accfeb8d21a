"""The codec of SPDY/3.1: what real clients sent, whatever pieces it comes in, and noise."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farnode.node.kubelet import spdy
from farnode.node.kubelet.spdy import Codec, Data, Frame, GoAway, Ping, Reset, SpdyError, SynReply, SynStream
from tests.node.kubelet import captured

CAPTURES = ("spdy-exec-plain", "spdy-exec-stdin", "spdy-exec-tty-resize", "spdy-portforward")
NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
HEADERS = st.dictionaries(NAMES, VALUES, max_size=4)
STREAMS = st.integers(1, 2**31 - 1)
FRAMES = st.lists(
    st.one_of(
        st.builds(SynStream, STREAMS, HEADERS, st.booleans()),
        st.builds(Data, STREAMS, st.binary(max_size=300), st.booleans()),
        st.builds(Reset, STREAMS, st.integers(1, 11)),
        st.builds(Ping, st.integers(0, 2**32 - 1)),
        st.builds(GoAway, STREAMS),
    ),
    max_size=12,
)


def encoded(codec: Codec, frame: Frame) -> bytes:
    match frame:
        case SynStream(stream, headers, fin):
            return codec.syn_stream(stream, headers, fin=fin)
        case Data(stream, payload, fin):
            return spdy.data(stream, payload, fin=fin)
        case Reset(stream, status):
            return spdy.reset(stream, status)
        case Ping(number):
            return spdy.ping(number)
        case GoAway(last):
            return spdy.go_away(last)
        case _:
            raise AssertionError(frame)


def whole(frames: list[Frame]) -> list[Frame]:
    """Consecutive data of a stream, up to its end, as one."""
    found: list[Frame] = []
    for frame in frames:
        last = found[-1] if found else None
        if isinstance(frame, Data) and isinstance(last, Data) and last.stream == frame.stream and not last.fin:
            found[-1] = Data(frame.stream, last.data + frame.data, frame.fin)
        else:
            found.append(frame)
    return found


def test_the_dictionary_is_that_of_the_other_side() -> None:
    assert spdy.DICTIONARY == captured.DICTIONARY


def test_the_api_server_runs_a_command() -> None:
    frames = whole(Codec().receive(captured.direction("spdy-exec-stdin", sent=True)))
    assert frames == [
        SynStream(1, {"streamtype": "error"}),
        SynStream(3, {"streamtype": "stdin"}),
        SynStream(5, {"streamtype": "stdout"}),
        SynStream(7, {"streamtype": "stderr"}),
        Data(3, b"hello\nworld\n", fin=True),
        *(Reset(number, spdy.CANCEL) for number in (1, 5, 7)),
        GoAway(0),
    ]


def test_a_terminal_and_pings() -> None:
    frames = Codec().receive(captured.direction("spdy-exec-tty-resize", sent=True))
    kinds = [frame.headers["streamtype"] for frame in frames if isinstance(frame, SynStream)]
    assert kinds == ["error", "stdin", "stdout", "resize"]
    sizes = b"".join(frame.data for frame in frames if isinstance(frame, Data) and frame.stream == 7)
    assert [json.loads(line) for line in sizes.splitlines()] == [
        {"Width": 101, "Height": 33},
        {"Width": 120, "Height": 40},
    ]
    assert Ping(1) in frames


def test_kubectl_forwards_a_port() -> None:
    frames = Codec().receive(captured.direction("spdy-portforward", sent=True))
    opened = [frame.headers for frame in frames if isinstance(frame, SynStream)]
    assert opened[:2] == [{"streamtype": kind, "port": "28080", "requestid": "0"} for kind in ("error", "data")]
    assert any(isinstance(frame, Data) and frame.data.startswith(b"GET /") for frame in frames)


@pytest.mark.parametrize("name", CAPTURES)
def test_every_capture_in_single_bytes(name: str) -> None:
    for sent in (True, False):
        data = captured.direction(name, sent=sent)
        codec = Codec()
        assert whole([frame for byte in data for frame in codec.receive(bytes([byte]))]) == whole(Codec().receive(data))


def test_a_reply_is_byte_for_byte_what_a_client_took() -> None:
    answers = [piece.data for piece in captured.pieces("spdy-exec-stdin") if not piece.sent]
    codec = Codec()
    assert [codec.syn_reply(stream) for stream in (1, 3, 5, 7)] == answers[1:5]
    assert spdy.ping(1) in [piece.data for piece in captured.pieces("spdy-exec-tty-resize") if not piece.sent]


@given(FRAMES, st.lists(st.integers(1, 40), min_size=1, max_size=50))
def test_what_one_end_says_the_other_hears(frames: list[Frame], cuts: list[int]) -> None:
    """In whatever pieces: of data frames, parts are given as they come."""
    here, there = Codec(), Codec()
    wire = b"".join(encoded(here, frame) for frame in frames)
    heard: list[Frame] = []
    turn = 0
    while wire:
        cut = cuts[turn % len(cuts)]
        heard += there.receive(wire[:cut])
        wire, turn = wire[cut:], turn + 1
    assert whole(heard) == whole(frames)


def fault(codec: Codec, pieces: Iterable[bytes]) -> SpdyError | None:
    """What the codec refuses of these, if anything; whatever else it raises is a defect."""
    for piece in pieces:
        try:
            codec.receive(piece)
        except SpdyError as error:
            return error
    return None


@given(st.lists(st.binary(max_size=60), max_size=10), st.sampled_from([b"", b"\x80\x03\x00\x01", b"\x80\x03\x00\x08"]))
def test_noise_is_refused_or_skipped(noise: list[bytes], beginning: bytes) -> None:
    codec = Codec()
    refused = fault(codec, [beginning, *noise])
    assert fault(codec, [b""]) is refused  # and so is all that comes after it


@given(st.data())
def test_a_real_conversation_with_a_fault(data: st.DataObject) -> None:
    whole = bytearray(captured.direction(data.draw(st.sampled_from(CAPTURES)), sent=True))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    refused = fault(Codec(), [bytes(whole)])
    assert refused is None or str(refused)


def test_headers_that_inflate_without_end_are_refused() -> None:
    bomb = Codec().syn_stream(1, {"streamtype": "x" * 2**20})
    assert len(bomb) < 4096
    with pytest.raises(SpdyError, match="headers of more than 65536 bytes"):
        Codec().receive(bomb)


def test_a_control_frame_is_bounded() -> None:
    with pytest.raises(SpdyError, match=r"no control frame of SPDY/3\.1 begins with 8003000100100000"):
        Codec().receive(bytes.fromhex("8003000100100000"))
    with pytest.raises(SpdyError, match="no control frame"):
        Codec().receive(b"\x88HTTP/1.1")
    with pytest.raises(ValueError, match="16777216 bytes in a frame"):
        spdy.data(1, bytes(2**24))


def test_an_answer_to_a_stream_of_ours() -> None:
    here, there = Codec(), Codec()
    assert there.receive(here.syn_reply(3, {"a": "b"})) == [SynReply(3, {"a": "b"})]
