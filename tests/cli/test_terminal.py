"""Standard input of whatever kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from farnode.cli import terminal

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("kind", ["file", "pipe", "null"])
async def test_it_is_read_to_its_end(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(os.devnull) if kind == "null" else tmp_path / "typed"
    wanted = b"" if kind == "null" else b"typed\n"
    if kind == "file":
        path.write_bytes(wanted)
    if kind == "pipe":
        reader, writer = os.pipe()
        os.write(writer, wanted)
        os.close(writer)
    else:
        reader = os.open(path, os.O_RDONLY)
    with os.fdopen(reader) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert b"".join([chunk async for chunk in terminal.typed()]) == wanted
