"""Checked by mypy, never run: what users write has the types they expect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, assert_type

from anyio.abc import ByteStream

from farnode import AsyncClient, Client, Invalid, Pod, Site, Transient, Unreachable


async def dial() -> ByteStream:
    raise NotImplementedError


async def asynchronous(manifest: dict[str, Any]) -> None:
    async with AsyncClient("lab") as client:
        assert_type(await client.submit([manifest, Path("pod.yaml"), "kind: Pod\n"]), list[Pod])
        assert_type(await client.run(manifest), Pod)
        assert_type(await client.pods(), list[Pod])
        logs: AsyncIterator[bytes] = client.logs("uid", follow=True)
        async for chunk in logs:
            assert_type(chunk, bytes)
        async for event in client.watch():
            assert_type(event["seq"], int)
        async with await client.exec("uid", ["sh"], stdin=True, tty=True, size=(24, 80)) as session:
            await session.send(b"exit\n")
            async for stream, data in session:
                assert_type(data, bytes)
                assert stream in ("stdout", "stderr")
            assert_type(session.exit_code, int | None)


def blocking(pod: Pod) -> None:
    site = Site("lab", "https://edge:8443", token_file=Path("token"), fingerprint="ab" * 32)
    with Client(site, dial=dial, patience=5) as client:
        assert_type(client.wait(pod), Pod)
        ending: Iterator[Pod] = client.as_ended([pod, "uid"])
        for ended in ending:
            assert_type(ended.exit_code("main"), int | None)
        try:
            client.delete([pod], grace=0, purge=True)
        except Unreachable as error:
            assert_type(error.retry_after, float | None)
        except (Invalid, Transient):
            pass
