"""Exec and attach by WebSocket, in every dialect that clients know."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import WSMsgType

from farnode import AsyncClient
from farnode.client.execution import ExecSession
from tests.client.live import program
from tests.node.kubelet.serving import HANDSHAKE, PATIENCE, Json, Serving, until

pytestmark = pytest.mark.anyio

V5 = "v5.channel.k8s.io"
SLEEPER = program("box", "sleep", "1000")


def path(pod: Json, *command: str, verb: str = "exec", **flags: int) -> str:
    query = urlencode([("command", word) for word in command] + [(name, str(value)) for name, value in flags.items()])
    return f"/{verb}/default/{pod['metadata']['name']}/main?{query}"


async def received(socket: aiohttp.ClientWebSocketResponse) -> dict[int, bytearray]:
    """Everything until the server closes, which it does with 1000, by channel."""
    channels: dict[int, bytearray] = {}
    async with asyncio.timeout(PATIENCE):
        async for message in socket:
            assert message.type is WSMsgType.BINARY
            channels.setdefault(message.data[0], bytearray()).extend(message.data[1:])
    assert socket.close_code == 1000
    return channels


async def test_output_errors_and_exit_code(kubelet: Serving) -> None:
    pod = await kubelet.running(SLEEPER)
    command = ("sh", "-c", "echo out; echo err >&2; exit 7")
    async with kubelet.http.ws_connect(path(pod, *command, output=1, error=1), protocols=[V5], compress=15) as socket:
        assert socket.protocol == V5
        assert not socket.compress
        assert await socket.receive_bytes() == b"\x01"
        channels = await received(socket)
    assert [channels[1], channels[2]] == [b"out\n", b"err\n"]
    assert json.loads(channels[3]) == {
        "metadata": {},
        "status": "Failure",
        "message": "command terminated with non-zero exit code: exit status 7",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "7"}]},
    }


async def test_input_and_its_end(kubelet: Serving) -> None:
    pod = await kubelet.running(SLEEPER)
    async with kubelet.http.ws_connect(path(pod, "cat", input=1, output=1), protocols=[V5]) as socket:
        for _ in range(40):
            await socket.send_bytes(b"\x00" + b"x" * 30_000)
        await socket.send_str("\x00text, as Python's client sends it")
        await socket.send_bytes(b"\xff\x00")
        channels = await received(socket)
    assert channels[1] == b"x" * 1_200_000 + b"text, as Python's client sends it"
    assert json.loads(channels[3]) == {"metadata": {}, "status": "Success"}


async def test_one_large_message(kubelet: Serving) -> None:
    pod = await kubelet.running(SLEEPER)
    async with kubelet.http.ws_connect(path(pod, "wc", "-c", input=1, output=1), protocols=[V5]) as socket:
        await socket.send_bytes(b"\x00" + bytes(12_000_000))
        await socket.send_bytes(b"\xff\x00")
        assert (await received(socket))[1].strip() == b"12000000"


async def test_a_terminal(kubelet: Serving) -> None:
    pod = await kubelet.running(SLEEPER)
    target = path(pod, "sh", "-c", "read x; stty size; tty >/dev/null && exit 9", input=1, output=1, error=1, tty=1)
    async with kubelet.http.ws_connect(target, protocols=[V5]) as socket:
        for size in (b"noise", b"[1]", b'{"Width":0,"Height":"x"}', b'{"Width":101,"Height":33}\n'):
            await socket.send_bytes(b"\x04" + size)
        await socket.send_bytes(b"\x00go\r")
        channels = await received(socket)
    assert b"33 101\r\n" in channels[1]
    assert 2 not in channels
    assert json.loads(channels[3])["details"]["causes"][0]["message"] == "9"


async def test_the_base64_dialect(kubelet: Serving) -> None:
    pod = await kubelet.running(SLEEPER)
    target = path(pod, "sh", "-c", "read x; echo $x; exit 4", input=1, output=1)
    async with kubelet.http.ws_connect(target, protocols=["v4.base64.channel.k8s.io"]) as socket:
        assert await socket.receive_str() == "1"
        await socket.send_str("0?not base64?")
        await socket.send_str("0" + base64.b64encode(b"hello\n").decode())
        answers = [message.data async for message in socket]
    assert [base64.b64decode(text[1:]) for text in answers if text[0] == "1"] == [b"hello\n"]
    assert json.loads(base64.b64decode(answers[-1][1:]))["details"]["causes"][0]["message"] == "4"


@pytest.mark.parametrize("protocols", [(), ("channel.k8s.io",)])
async def test_the_oldest_dialects_end_with_words(kubelet: Serving, protocols: Sequence[str]) -> None:
    pod = await kubelet.running(SLEEPER)
    for command, said in (("true", None), ("false", b"command terminated with non-zero exit code: exit status 1")):
        async with kubelet.http.ws_connect(path(pod, command, output=1), protocols=protocols) as socket:
            assert (await received(socket)).get(3) == said


async def test_attach(kubelet: Serving) -> None:
    pod = await kubelet.running(program("shell", "sh", stdin=True))
    target = path(pod, verb="attach", input=1, output=1, error=1)
    async with kubelet.http.ws_connect(target, protocols=[V5]) as socket:
        assert await socket.receive_bytes() == b"\x01"
        await socket.send_bytes(b"\x00echo one\n")
        assert await socket.receive_bytes() == b"\x01one\n"
    async with kubelet.http.ws_connect(target, protocols=[V5]) as socket:  # which goes on
        await socket.send_bytes(b"\x00echo two >&2; exit 5\n")
        channels = await received(socket)
    assert channels[2] == b"two\n"
    assert json.loads(channels[3])["details"]["causes"][0]["message"] == "5"


async def test_what_cannot_be_started_fails_with_words(kubelet: Serving) -> None:
    manifest = program("two", "true")
    manifest["spec"]["containers"].append({**program("side", "sleep", "1000")["spec"]["containers"][0], "name": "side"})
    pod = await kubelet.running(manifest)

    async def has_ended() -> bool:
        await kubelet.phase(pod)
        return any("terminated" in one["state"] for one in pod["status"]["containerStatuses"])

    await until(has_ended, "its first container ends")
    async with kubelet.http.ws_connect(path(pod, "true", output=1), protocols=[V5]) as socket:
        status = json.loads((await received(socket))[3])
    assert status == {
        "metadata": {},
        "status": "Failure",
        "message": 'Internal error occurred: container not found ("main")',
        "reason": "InternalError",
        "details": {"causes": [{"message": 'container not found ("main")'}]},
        "code": 500,
    }


async def test_refusals_before_the_upgrade(kubelet: Serving) -> None:
    pod = await kubelet.running(SLEEPER)
    uid = pod["metadata"]["uid"]
    ended = await kubelet.ended(program("done", "true"))
    cases = (
        ("/exec/default/none/main?command=true&output=1", 404, 'pod "none" does not exist'),
        (f"/exec/default/box/{uid[:-1]}x/main?command=true&output=1", 404, 'pod "box" does not exist'),
        ("/exec/default/box/side?command=true&output=1", 404, 'container "side" not found in pod "box"'),
        ("/exec/default/box/main?output=1", 400, "command: is missing"),
        ("/exec/default/box/main?command=true", 400, "at least 1 of stdin, stdout, stderr"),
        (path(ended, "true", output=1), 400, "is not running"),
    )
    for target, status, words in cases:
        async with kubelet.http.get(
            target,
            headers=HANDSHAKE,
        ) as answer:
            assert (answer.status, words in await answer.text()) == (status, True), (target, await answer.text())
    with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
        await kubelet.http.ws_connect(path(pod, "true", output=1), protocols=["v9.channel.k8s.io"])
    async with kubelet.http.get(path(pod, "true", output=1)) as answer:
        assert (answer.status, await answer.text()) == (400, "Upgrade: is missing; accepted: websocket, SPDY/3.1")
    async with kubelet.http.post("/run/default/box/main?cmd=true") as answer:
        assert answer.status == 405


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v9"},
        {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
        {**HANDSHAKE, "Sec-WebSocket-Protocol": "v9.channel.k8s.io"},
    ],
)
async def test_nothing_is_begun_without_a_protocol(
    kubelet: Serving, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is refused asks again, and its command would run twice."""
    pod = await kubelet.running(SLEEPER)
    begun: list[object] = []
    usual = AsyncClient.exec

    async def noted(*arguments: Any, **more: Any) -> ExecSession:
        begun.append(arguments)
        return await usual(*arguments, **more)

    monkeypatch.setattr(AsyncClient, "exec", noted)
    async with kubelet.http.get(path(pod, "true", output=1), headers={"Connection": "Upgrade", **headers}) as answer:
        assert answer.status == 400
    assert not begun


async def test_the_path_with_a_uid_and_a_long_command(kubelet: Serving) -> None:
    pod = await kubelet.running(SLEEPER)
    word = "x" * 100_000
    query = urlencode([("command", "echo"), ("command", word), ("output", "1")])
    target = f"/exec/default/box/{pod['metadata']['uid']}/main?{query}"
    async with kubelet.http.ws_connect(target, protocols=[V5]) as socket:
        channels = await received(socket)
    assert channels[1] == word.encode() + b"\n"
