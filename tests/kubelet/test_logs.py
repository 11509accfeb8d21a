"""Readings of logs, as the kubelet's own reader answers them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farnode.wire.crilog import MAX_TEXT, Encoder, select
from farnode.wire.messages import LogOptions
from tests.kubelet.kubelet import Kubelet

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]  # the first one on a machine builds the program

SECOND = 10**9
LINES = st.lists(
    st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=30), st.integers(0, 3)), max_size=8
)


def encoded(lines: list[tuple[str, bytes, int]], long: bool) -> bytes:
    """Each line is so many seconds after the one before it; with `long`, some are longer than an entry."""
    log, at = b"", 1_800_000_000
    for stream, text, later in lines:
        at += later
        text = text.replace(b"\n", b"")
        log += Encoder(stream).feed(text * (2 * MAX_TEXT // 20 if long else 1) + b"\n", at * SECOND + 42)
    return log


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    LINES,
    st.booleans(),
    st.none() | st.integers(0, 10),
    st.none() | st.integers(-1, 12),
    st.none() | st.integers(1, 400) | st.integers(1, 100_000),
    st.booleans(),
)
def test_selections(
    tmp_path: Path,
    kubelet: Kubelet,
    lines: list[tuple[str, bytes, int]],
    long: bool,
    tail: int | None,
    since: int | None,
    limit: int | None,
    timestamps: bool,
) -> None:
    """But for the tail of long lines, of which a kubelet counts the entries."""
    if long:
        tail = None
    path = tmp_path / "0.log"
    path.write_bytes(encoded(lines, long))
    moment = None if since is None else 1_800_000_000 + since
    asked: dict[str, Any] = {"path": str(path), "tail": tail, "limit": limit, "timestamps": timestamps}
    said = kubelet.ask(log={**asked, "since": 0 if moment is None else moment * SECOND})
    options = {"tail": tail, "since": moment, "limit": limit, "timestamps": timestamps}
    with path.open("rb") as file:
        ours = b"".join(select(file, cast("LogOptions", options)))
    assert ours == base64.b64decode(said or "")
