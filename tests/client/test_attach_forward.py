"""Attach and ports, from the client through a real gateway to real containers."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import aclosing
from http.client import RemoteDisconnected
from pathlib import Path

import anyio
import pytest

from farnode import AsyncClient, Client, Invalid, NotFound, Permanent, Pod, Site
from tests.client.live import printed, program, running, web
from tests.sites import EmbeddedSite

BIG = 8 * 2**20


@pytest.fixture
def client(embedded_site: EmbeddedSite) -> Iterator[Client]:
    with embedded_site.client() as client:
        yield client


@pytest.fixture
def served(client: Client, tmp_path: Path) -> Iterator[tuple[Pod, int]]:
    (tmp_path / "hello").write_text("hello from the pod\n")
    (tmp_path / "big").write_bytes(bytes(range(256)) * (BIG // 256))
    pod = running(client, web("web", str(tmp_path)))
    yield pod, int(printed(client, pod))
    client.delete(pod, grace=0)


def test_attach_to_a_shell(client: Client) -> None:
    pod = running(client, program("shell", "sh", stdin=True))
    with client.attach(pod, stdin=True) as session:
        session.send(b"echo one\n")
        assert next(iter(session)) == ("stdout", b"one\n")
    with client.attach(pod, stdin=True) as session:  # which goes on
        session.send(b"echo two >&2; exit 5\n")
        assert list(session) == [("stderr", b"two\n")]
        assert session.exit_code == 5
    assert client.wait(pod).exit_code() == 5
    with pytest.raises(Invalid, match=r"unable to attach because pod .* is not running"), client.attach(pod):
        raise AssertionError


def test_a_terminal_that_is_closed_once(client: Client) -> None:
    pod = running(client, program("tty", "cat", stdin=True, stdinOnce=True, tty=True))
    with client.attach(pod, stdin=True, size=(20, 60)) as session:
        session.send(b"hello\n")
        assert b"hello" in next(iter(session)).data
        session.resize(30, 90)
        session.close_stdin()
        assert session.wait() == 0


def test_local_ports_lead_to_the_pod(client: Client, served: tuple[Pod, int]) -> None:
    pod, port = served
    with client.port_forward(pod, {0: port}) as local:
        url = f"http://127.0.0.1:{local[port]}"
        assert urllib.request.urlopen(f"{url}/hello").read() == b"hello from the pod\n"
        bodies: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: bodies.append(urllib.request.urlopen(f"{url}/big").read()))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert bodies == [bytes(range(256)) * (BIG // 256)] * 8
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(f"{url}/hello")


def test_what_fails_of_one_connection_leaves_the_others(client: Client, served: tuple[Pod, int]) -> None:
    pod, port = served
    with (
        socket.create_server(("127.0.0.1", 0)) as others,
        client.port_forward(
            pod, {0: port, others.getsockname()[1]: others.getsockname()[1]}, address="127.0.0.2"
        ) as local,
    ):
        foreign = others.getsockname()[1]
        with pytest.raises((RemoteDisconnected, ConnectionResetError)):  # it listens, but is not of the pod
            urllib.request.urlopen(f"http://127.0.0.2:{local[foreign]}/")
        with socket.create_connection(("127.0.0.2", local[port])) as left:
            left.sendall(b"GET /big HTTP/1.0\r\n\r\n")
            assert left.recv(4)
        assert urllib.request.urlopen(f"http://127.0.0.2:{local[port]}/hello").status == 200


def test_a_port_in_use_is_said_so(client: Client, served: tuple[Pod, int]) -> None:
    pod, port = served
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(Invalid, match="the port is in use; 0 takes a free one"),
        client.port_forward(pod, {taken.getsockname()[1]: port}),
    ):
        raise AssertionError


@pytest.mark.anyio
async def test_a_port_is_a_byte_stream(embedded_site: EmbeddedSite, served: tuple[Pod, int]) -> None:
    pod, port = served
    async with AsyncClient(Site("local", embedded_site.url, embedded_site.token("alice"))) as client:
        async with aclosing(await client.forward(pod, port)) as stream:
            await stream.send(b"GET /hello HTTP/1.0\r\n\r\n")
            await stream.send_eof()
            answer = b"".join([chunk async for chunk in stream])
            assert answer.endswith(b"\r\n\r\nhello from the pod\n")
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
        async with aclosing(await client.forward(pod, 1)) as stream:
            with pytest.raises(Permanent, match=r"error forwarding port 1 to pod web, uid .*: no process of the pod"):
                await stream.receive()
        with pytest.raises(Invalid, match="port"):
            await client.forward(pod, 65536)
    async with AsyncClient(Site("local", embedded_site.url, embedded_site.token("bob"))) as stranger:
        with pytest.raises(NotFound):
            await stranger.forward(pod, port)
        with pytest.raises(NotFound):
            async with await stranger.attach(pod, "main"):
                raise AssertionError
