"""HTTP and TCP probes and hooks against a real server in a container; to nobody else do they ever connect.

https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#http-probes
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from farnode.runner.probes import actions
from farnode.runner.probes.actions import Outcome, Place

from .gateway import certificate
from .stage import Stage, play

SERVER = r"""
import json, os, socket, ssl, sys, threading

with open(os.environ["ANSWERS"]) as file:
    answers = json.load(file)
context = None
if os.environ["CERTIFICATE"]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["CERTIFICATE"])

def serve(connection):
    if context:
        connection = context.wrap_socket(connection, server_side=True)
    with connection:
        request = b""
        while b"\r\n\r\n" not in request:
            data = connection.recv(65536)
            if not data:
                return
            request += data
        sys.stdout.write(request.decode("latin-1"))
        sys.stdout.flush()
        answer = answers.get(request.split()[1].decode())
        if answer is None:
            connection.recv(1)
        else:
            connection.sendall(answer.replace("PORT", str(port)).encode("latin-1"))

server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
print("port", port, flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""
OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ANSWERS = {
    "/": OK,
    "/ok": OK,
    "/ok?a=b%20c&d": OK,
    "/%C3%A9%20": OK,
    "/204": "HTTP/1.1 204 No Content\r\n\r\n",
    "/304": "HTTP/1.1 304 Not Modified\r\n\r\n",
    "/404": "HTTP/1.1 404 Not Found\r\n\r\nsecret",
    "/503": "HTTP/1.1 503 Service Unavailable\r\n\r\n",
    "/moved": "HTTP/1.1 302 Found\r\nLocation: ok?a=b%20c&d\r\n\r\n",
    "/here": "HTTP/1.1 307 Temporary Redirect\r\nLOCATION: http://192.0.2.7:PORT/ok\r\n\r\n",
    "/away": "HTTP/1.1 301 Moved\r\nLocation: http://example.com/ok\r\nContent-Length: 3\r\n\r\nbye",
    "/lost": "HTTP/1.1 302 Found\r\n\r\nnowhere",
    "/loop": "HTTP/1.1 302 Found\r\nLocation: /loop\r\n\r\n",
    "/gopher": "HTTP/1.1 302 Found\r\nLocation: gopher://192.0.2.7/\r\n\r\n",
    "/strange": "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.7:nonsense/\r\n\r\n",
    "/empty": "",
    "/garbage": "hello\r\n\r\n",
    "/bare": "HTTP/1.0 200 OK\n\nbody",
    "/continued": "HTTP/1.1 100 Continue\r\n\r\n" + OK,
    "/chunked": "HTTP/1.1 301 Moved\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
    "/long": "HTTP/1.1 300 Many\r\n\r\n" + "x" * 1_000_000,
    "/head": "HTTP/1.1 200 OK\r\n" + "X: y\r\n" * 20_000 + "\r\n",
    "/line": "HTTP/1.1 200 OK\r\nX: " + "y" * 200_000 + "\r\n\r\n",
    "/lie": "HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n",
}


class Server:
    def __init__(self, stage: Stage, port: int) -> None:
        self.port = port
        self._stage = stage
        pod = stage.roster.get("u1", 1)
        container = pod.container("main") if pod else None
        assert container is not None
        assert container.instance is not None
        self.place = Place(container.attempt, container._order, container.instance)

    async def ask(self, path: str, **fields: Any) -> Outcome:
        action: Any = {"kind": "http", "port": self.port, "path": path, "scheme": "HTTP", **fields}
        async with asyncio.timeout(20):
            return await actions.probe(self.place, action, 1.0)

    @property
    def requests(self) -> list[str]:
        return self._stage.log().replace("\r", "").split("\n\n")


def serving(
    directory: Path, scenario: Callable[[Server], Awaitable[None]], tls: str = "", answers: dict[str, str] | None = None
) -> None:
    (directory / "answers").write_text(json.dumps(ANSWERS if answers is None else answers))

    async def run(stage: Stage) -> None:
        texts = {"ANSWERS": str(directory / "answers"), "CERTIFICATE": tls}
        env = [{"name": name, "value": value, "literal": True} for name, value in texts.items()]
        stage.start(
            containers=[{"name": "main", "command": [sys.executable, "-c", SERVER.replace("$", "$$")], "env": env}]
        )
        await stage.printed("port")
        port = int(stage.log().split()[1])
        await scenario(Server(stage, port))
        stage.stop(grace=0)
        await stage.ended()

    play(directory, run)


FAILURES = {
    "/404": "HTTP probe failed with statuscode: 404",
    "/503": "HTTP probe failed with statuscode: 503",
    "/loop": 'Get "http://192.0.2.7:PORT/loop": stopped after 10 redirects',
    "/gopher": 'Get "gopher://192.0.2.7:0/": unsupported protocol scheme "gopher"',
    "/strange": "Get \"http://192.0.2.7:PORT/strange\": Port could not be cast to integer value as 'nonsense'",
    "/empty": 'Get "http://192.0.2.7:PORT/empty": EOF',
    "/garbage": 'Get "http://192.0.2.7:PORT/garbage": malformed HTTP response "hello"',
    "/head": 'Get "http://192.0.2.7:PORT/head": net/http: server response headers exceeded 65536 bytes',
    "/lie": "Get \"http://192.0.2.7:PORT/lie\": invalid literal for int() with base 10: 'nonsense'",
}
WARNINGS = {"/304": "", "/away": "bye", "/lost": "nowhere", "/chunked": "abcde", "/long": "x" * 10240}
FINE = (
    "",
    "/",
    "/ok",
    "ok",
    "/ok?a=b%20c&d",
    "/ok?a=b c&d",
    "/é ",
    "/ok#fragment",
    "/204",
    "/moved",
    "/here",
    "/bare",
    "/continued",
)


def test_what_an_answer_means(tmp_path: Path) -> None:
    """A failure never tells the body; a redirect that leads away is a success, with a warning."""

    async def scenario(server: Server) -> None:
        for path in FINE:
            assert await server.ask(path) == (True, ""), path
        for path, words in FAILURES.items():
            assert await server.ask(path) == (False, words.replace("PORT", str(server.port))), path
        for path, body in WARNINGS.items():
            assert await server.ask(path) == (True, f"Probe terminated redirects, Response body: {body}"), path
        assert not (await server.ask("/line")).ok

    serving(tmp_path, scenario)


def test_what_is_asked(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        host = f"192.0.2.7:{server.port}"
        await server.ask("/ok")
        headers = [["X-A", "1"], ["x-a", "2"], ["Host", "name.example"], ["Accept", ""], ["user-agent", "mine"]]
        await server.ask("/moved", headers=headers)
        await server.ask("/here", headers=headers)
        lines = [request.splitlines()[:6] for request in server.requests]
        lines[0] = lines[0][1:]
        kube = ["User-Agent: kube-probe/farnode", "Accept: */*", "Connection: close"]
        mine = ["X-A: 1", "x-a: 2", "user-agent: mine", "Connection: close"]
        assert lines[0] == ["GET /ok HTTP/1.1", f"Host: {host}", *kube]
        assert lines[1] == ["GET /moved HTTP/1.1", "Host: name.example", *mine]
        assert lines[2] == ["GET /ok?a=b%20c&d HTTP/1.1", "Host: name.example", *mine]
        assert lines[4] == ["GET /ok HTTP/1.1", f"Host: {host}", *mine]

    serving(tmp_path, scenario)


@pytest.mark.parametrize("header", [["X", "a\r\nY: b"], ["X\n", "a"], ["", "a"]])
def test_headers_that_cannot_be_sent(tmp_path: Path, header: list[str]) -> None:
    async def scenario(server: Server) -> None:
        outcome = await server.ask("/ok", headers=[header])
        assert (outcome.ok, "invalid header field" in outcome.words) == (False, True)
        assert len(server.requests) == 1

    serving(tmp_path, scenario)


def test_https_is_not_verified(tmp_path: Path) -> None:
    path, _ = certificate(tmp_path)

    async def scenario(server: Server) -> None:
        assert await server.ask("/ok", scheme="HTTPS") == (True, "")
        plain = await server.ask("/ok")
        assert (plain.ok, plain.words.startswith(f'Get "http://192.0.2.7:{server.port}/ok": ')) == (False, True)

    serving(tmp_path, scenario, tls=str(path))


def test_https_to_a_server_that_speaks_http(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        answering = asyncio.ensure_future(server.ask("/ok", scheme="HTTPS"))
        await asyncio.sleep(0.1)
        server.place.attempt.host.clock.advance(1)  # type: ignore[attr-defined]
        assert not (await answering).ok

    serving(tmp_path, scenario)


def test_no_answer_in_time(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        answering = asyncio.ensure_future(server.ask("/never"))
        while len(server.requests) < 2:
            await asyncio.sleep(0.005)
        server.place.attempt.host.clock.advance(1)  # type: ignore[attr-defined]
        words = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        assert await answering == (False, f'Get "http://192.0.2.7:{server.port}/never": {words}')

    serving(tmp_path, scenario)


def test_tcp(tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        action: Any = {"kind": "tcp", "port": server.port}
        assert await actions.probe(server.place, action, 1.0) == (True, "")
        refused = "dial tcp 192.0.2.7:1: connect: connection refused"
        assert await actions.probe(server.place, {**action, "port": 1}, 1.0) == (False, refused)

    serving(tmp_path, scenario)


def test_strangers_are_never_connected_to(tmp_path: Path) -> None:
    """This very process listens, which is no process of the pod's."""

    async def scenario(server: Server) -> None:
        with socket.create_server(("127.0.0.1", 0)) as stranger:
            stranger.setblocking(False)
            port = stranger.getsockname()[1]
            refused = f"dial tcp 192.0.2.7:{port}: connect: connection refused"
            assert await actions.probe(server.place, {"kind": "tcp", "port": port}, 1.0) == (False, refused)
            outcome = await server.ask("/ok", port=port)
            assert outcome == (False, f'Get "http://192.0.2.7:{port}/ok": {refused}')
            server_moved = {"kind": "http", "port": server.port, "path": "/stranger", "scheme": "HTTP"}
            assert not (await actions.probe(server.place, server_moved, 1.0)).ok  # type: ignore[arg-type]
            with pytest.raises(BlockingIOError):
                stranger.accept()

    with socket.create_server(("127.0.0.1", 0)) as other:
        other.setblocking(False)
        location = f"http://192.0.2.7:{other.getsockname()[1]}/ok"
        serving(tmp_path, scenario, answers={"/stranger": f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n"})
        with pytest.raises(BlockingIOError):
            other.accept()


def test_a_daemon_of_the_container_is_one_of_its_processes(tmp_path: Path) -> None:
    """Its parent has ended, so that it is below no process of the container's any more."""

    async def scenario(stage: Stage) -> None:
        daemon = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
        forked = f"import os; os.fork() and os._exit(0); os.setsid(); {daemon}; s.accept()"
        command = [
            sys.executable,
            "-c",
            f"import os, sys, time; os.spawnl(os.P_WAIT, *[sys.executable] * 2, '-c', {forked!r}); time.sleep(1000)",
        ]
        stage.start(containers=[{"name": "main", "command": command}])
        await stage.printed("\n")
        port = int(stage.log())
        pod = stage.roster.get("u1", 1)
        assert pod is not None
        container = pod.container("main")
        assert container is not None
        assert container.instance is not None
        place = Place(container.attempt, container._order, container.instance)
        assert await actions.probe(place, {"kind": "tcp", "port": port}, 1.0) == (True, "")

    play(tmp_path, scenario)


def test_any_answer_makes_an_http_hook_succeed(tmp_path: Path) -> None:
    """The kubelet does not look at the status of the answer to a hook."""

    async def scenario(server: Server) -> None:
        action: Any = {"kind": "http", "port": server.port, "path": "/503"}
        assert await actions.hook(server.place, action)
        assert "User-Agent: kube-lifecycle/farnode" in server.requests[0]
        assert not await actions.hook(server.place, {**action, "path": "/empty"})
        assert not await actions.hook(server.place, {**action, "port": 1})

    serving(tmp_path, scenario)
