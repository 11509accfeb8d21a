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
        async with await client.attach("uid", "main", stdin=True) as attached:
            assert_type(await attached.wait(), int)
        connection: ByteStream = await client.forward("uid", 80)
        await connection.aclose()
        async with client.port_forward("uid", {8080: 80}, address="127.0.0.2") as ports:
            assert_type(ports[80], int)
        assert_type(await client.copy_to("uid", Path("model"), "/work"), list[str])
        assert_type(await client.copy_from("uid", "/work/results", "results"), list[str])


def blocking(pod: Pod) -> None:
    site = Site("lab", "https://edge:8443", token_file=Path("token"), fingerprint="ab" * 32)
    with Client(site, dial=dial, patience=5) as client:
        assert_type(client.wait(pod), Pod)
        with client.port_forward(pod, {0: 8888}) as ports:
            assert_type(ports[8888], int)
        with client.attach(pod, stdin=True) as session:
            session.send(b"exit\n")
            assert_type(session.wait(), int)
        assert_type(client.copy_to(pod, "model", "/work", preserve=False), list[str])
        assert_type(client.copy_from(pod, "/work/results", Path("results")), list[str])
        ending: Iterator[Pod] = client.as_ended([pod, "uid"])
        for ended in ending:
            assert_type(ended.exit_code("main"), int | None)
        try:
            client.delete([pod], grace=0, purge=True)
        except Unreachable as error:
            assert_type(error.retry_after, float | None)
        except (Invalid, Transient):
            pass
