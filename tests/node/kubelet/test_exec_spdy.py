"""Exec and attach by SPDY/3.1, as API servers ask kubelets that do not declare WebSockets."""

from __future__ import annotations

import asyncio
import json

import pytest

from farnode.node.kubelet import spdy
from tests.client.live import program
from tests.node.kubelet.serving import Json, Serving, until
from tests.node.kubelet.spdy_client import Refused, SpdyClient, upgraded
from tests.node.kubelet.test_exec_websocket import SLEEPER, path

pytestmark = pytest.mark.anyio

OFFERED = tuple(f"{version}channel.k8s.io" for version in ("v5.", "v4.", "v3.", "v2.", ""))
"""By the API server, of which v4 is what kubelets take."""


async def opened(client: SpdyClient, *kinds: str) -> dict[str, int]:
    return {kind: await client.open({"streamtype": kind}) for kind in kinds}


def code(client: SpdyClient, stream: int) -> str:
    return str(json.loads(client.data[stream])["details"]["causes"][0]["message"])


async def test_output_errors_and_exit_code(kubelet: Serving) -> None:
    pod = await kubelet.running(SLEEPER)
    command = ("sh", "-c", "echo out; echo err >&2; exit 7")
    async with upgraded(kubelet, path(pod, *command, output=1, error=1), OFFERED) as (client, protocol, _):
        assert protocol == "v4.channel.k8s.io"
        streams = await opened(client, "error", "stdout", "stderr")
        await client.over(*streams.values())
        assert client.data[streams["stdout"]] == b"out\n"
        assert client.data[streams["stderr"]] == b"err\n"
        assert code(client, streams["error"]) == "7"
        await client.goodbye()
        await until(lambda: is_lost(client), "the server closes the connection")


async def is_lost(client: SpdyClient) -> bool:
    return client.lost


async def test_input_its_end_and_a_ping(kubelet: Serving) -> None:
    pod = await kubelet.running(SLEEPER)
    async with upgraded(kubelet, path(pod, "cat", input=1, output=1, error=1), OFFERED) as (client, _, _writer):
        streams = await opened(client, "error", "stdin", "stdout", "stderr")
        for _ in range(40):
            await client.send(streams["stdin"], b"x" * 30_000)
        await client.write(spdy.ping(1))
        await client.send(streams["stdin"], b"y" * 10, fin=True)
        await client.over(*streams.values())
        assert client.data[streams["stdout"]] == b"x" * 1_200_000 + b"y" * 10
        assert json.loads(client.data[streams["error"]]) == {"metadata": {}, "status": "Success"}
        assert client.pongs == [1]


async def test_a_terminal(kubelet: Serving) -> None:
    pod = await kubelet.running(SLEEPER)
    target = path(pod, "sh", "-c", "read x; stty size; exit 9", input=1, output=1, tty=1)
    async with upgraded(kubelet, target, OFFERED) as (client, _, _writer):
        streams = await opened(client, "error", "stdin", "stdout", "resize")
        await client.send(streams["resize"], b'noise\n{"Width":101,')
        await client.send(streams["resize"], b'"Height":33}\n')
        await asyncio.sleep(0.2)  # sizes and input are different streams: nothing orders them
        await client.send(streams["stdin"], b"go\r")
        await client.over(*streams.values())
        assert b"33 101\r\n" in client.data[streams["stdout"]]
        assert code(client, streams["error"]) == "9"


@pytest.mark.parametrize("offered", [(), ("channel.k8s.io",), ("v3.channel.k8s.io", "v2.channel.k8s.io")])
async def test_the_oldest_dialects_end_with_words(kubelet: Serving, offered: tuple[str, ...]) -> None:
    pod = await kubelet.running(SLEEPER)
    for command, said in (("true", b""), ("false", b"command terminated with non-zero exit code: exit status 1")):
        async with upgraded(kubelet, path(pod, command, output=1), offered) as (client, protocol, _):
            assert protocol == (offered[0] if offered else "")
            streams = await opened(client, "error", "stdout")
            await client.over(*streams.values())
            assert client.data[streams["error"]] == said


async def test_attach(kubelet: Serving) -> None:
    pod = await kubelet.running(program("shell", "sh", stdin=True))
    target = path(pod, verb="attach", input=1, output=1, error=1)
    async with upgraded(kubelet, target, OFFERED) as (client, _, _writer):
        streams = await opened(client, "error", "stdin", "stdout", "stderr")
        await client.send(streams["stdin"], b"echo one\n")
        await client.until(lambda: client.data[streams["stdout"]] == b"one\n", "it answers")
    async with upgraded(kubelet, target, OFFERED) as (client, _, _writer):  # which goes on
        streams = await opened(client, "error", "stdin", "stdout", "stderr")
        await client.send(streams["stdin"], b"echo two >&2; exit 5\n")
        await client.over(*streams.values())
        assert client.data[streams["stderr"]] == b"two\n"
        assert code(client, streams["error"]) == "5"


async def test_streams_that_nobody_expects_are_refused(kubelet: Serving) -> None:
    pod = await kubelet.running(SLEEPER)
    async with upgraded(kubelet, path(pod, "true", output=1), OFFERED) as (client, _, _writer):
        streams = await opened(client, "error", "data", "error", "stdout")
        await client.over(1, streams["stdout"])
        assert client.reset == {3: spdy.PROTOCOL_ERROR, 5: spdy.PROTOCOL_ERROR}
        assert json.loads(client.data[1])["status"] == "Success"


async def test_noise_ends_the_session_and_its_command(kubelet: Serving) -> None:
    pod = await kubelet.running(SLEEPER)
    for noise in (b"\x88" * 100, spdy.data(99, b"nobody's") + b"\x80\x03\x00\x01\x00\x00\x00\x02xx"):
        async with upgraded(kubelet, path(pod, "sleep", "987654", output=1), OFFERED) as (client, _, _writer):
            await opened(client, "error", "stdout")
            await client.write(noise)
            await until(lambda: is_lost(client), "the server closes the connection")
    await gone(kubelet, pod, "sleep 987654")


async def gone(kubelet: Serving, pod: Json, command: str) -> None:
    """No process of that command line lives in the pod."""

    async def holds() -> bool:
        words = ["sh", "-c", f"for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done | grep -c '^{command}'"]
        async with await kubelet.client.exec(pod["metadata"]["uid"], words, "main") as session:
            return b"".join([data async for _, data in session]).strip() == b"0"

    await until(holds, f"{command} ends")


async def test_a_client_that_leaves_ends_its_command(kubelet: Serving) -> None:
    pod = await kubelet.running(SLEEPER)
    for politely in (True, False):
        target = path(pod, "sleep", "987655", input=1, output=1)
        async with upgraded(kubelet, target, OFFERED) as (client, _, writer):
            await opened(client, "error", "stdin", "stdout")
            await (client.goodbye() if politely else asyncio.sleep(0))
            writer.transport.abort()
        await gone(kubelet, pod, "sleep 987655")


async def test_refusals(kubelet: Serving) -> None:
    pod = await kubelet.running(SLEEPER)
    cases = (
        ("/exec/default/none/main?command=true&output=1", OFFERED, "SPDY/3.1", (404, 'pod "none" does not exist')),
        (path(pod, "true", output=1), ("v9",), "SPDY/3.1", (400, "client supports v9, server accepts v4.channel")),
        (path(pod, "true", output=1), OFFERED, "h2c", (400, "Upgrade: is missing; accepted: websocket, SPDY/3.1")),
    )
    for target, offered, upgrade, (status, words) in cases:
        with pytest.raises(Refused) as refused:
            async with upgraded(kubelet, target, offered, upgrade=upgrade):
                raise AssertionError
        assert refused.value.args[0] == status
        assert words in refused.value.args[1]
