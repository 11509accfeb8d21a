"""The byte stream below the client."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import anyio
import pytest

from farnode.client.dial import dialler
from farnode.client.site import Site

pytestmark = pytest.mark.anyio


async def test_a_read_that_is_cancelled_as_data_comes_raises_nothing_in_the_loop(tmp_path: Path) -> None:
    loop, raised = asyncio.get_running_loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda _loop, context: raised.append(context))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        stream = await dialler(Site("lab", f"unix:{tmp_path}/s"))()
        peer, _ = listener.accept()
        async with stream, anyio.create_task_group() as tasks:
            tasks.start_soon(stream.receive)
            await anyio.wait_all_tasks_blocked()
            peer.sendall(b"x")
            loop.call_soon(tasks.cancel_scope.cancel)  # in one turn of the loop: cancelled first, then readable
        peer.close()
    assert raised == []
