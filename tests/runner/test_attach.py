"""Standard input kept open, and streams of kind attach: a real runner process and real containers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from farnode.wire.frames import Channel
from farnode.wire.link import WINDOW, Data, Stream

from .gateway import PATIENCE, FakeGateway, everything, shell
from .test_runner import Process, exit_code, memory, play, printed, up

ALL = {"stdin": True, "stdout": True, "stderr": True}
FLOOD = 17 * 2**20


def interactive(script: str, **fields: Any) -> dict[str, Any]:
    pod = shell(script)
    pod["containers"][0].update(stdin=True, **fields)
    return pod


async def until(stream: Stream, text: bytes) -> bytes:
    """What comes until that is in it."""
    found = b""
    async with asyncio.timeout(PATIENCE):
        while text not in found:
            item = await stream.receive()
            assert isinstance(item, Data), stream.result
            found += item.data
    return found


async def attached(gateway: FakeGateway, **options: Any) -> Stream:
    """Once the runner has done it: what was opened before a later question was taken before it."""
    stream = await gateway.open("attach", **options)
    await everything(await gateway.open("exec", command=["true"]))
    return stream


def test_what_is_typed_reaches_it_and_what_it_says_reaches_all(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(interactive("echo before; while read l; do echo got $l; echo err >&2; done; exit 9"))
        await printed(gateway, b"before")
        one = await attached(gateway, **ALL)
        two = await attached(gateway, stderr=True)
        await one.send(Channel.STDIN, b"hello\n")
        assert sorted(await until(one, b"err")) == sorted(b"got hello\nerr\n")  # no history
        assert await until(two, b"\n") == b"err\n"
        await one.eof(Channel.STDIN)  # for it alone: the container's input stays open
        await one.close()
        three = await attached(gateway, **ALL)
        await three.send(Channel.STDIN, b"again\n")
        await until(three, b"got again\n")
        await gateway.send(type="stop", uid="u1", attempt=1)
        await everything(three)
        await everything(two)
        assert three.result == two.result == {"exit_code": 143}
        await gateway.ended()
        assert b"got hello\n" in await everything(await gateway.open("logs"))

    play(tmp_path, scenario)


def test_input_that_is_open_once(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(interactive("wc -c; exit 7", stdin_once=True))
        await up(gateway)
        stream = await attached(gateway, **ALL)
        sent = b"x" * (3 * WINDOW)
        answer = asyncio.create_task(everything(stream))
        await stream.send(Channel.STDIN, sent)
        await stream.eof(Channel.STDIN)
        assert int(await answer) == len(sent)
        assert stream.result == {"exit_code": 7}
        assert exit_code(await gateway.ended()) == 7

    play(tmp_path, scenario)


def test_one_that_leaves_ends_input_that_is_open_once(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(interactive("cat; sleep 1000", stdin_once=True))
        await up(gateway)
        looker = await attached(gateway, stdout=True)
        await looker.close()  # had no input to end
        stream = await attached(gateway, **ALL)
        await stream.send(Channel.STDIN, b"x\n")
        await until(stream, b"x")
        await stream.close()
        later = await attached(gateway, **ALL)
        await later.send(Channel.STDIN, b"nobody reads this\n")
        await gateway.send(type="stop", uid="u1", attempt=1, grace=0)
        await everything(later)
        assert await everything(await gateway.open("logs")) == b"x\n"

    play(tmp_path, scenario)


def test_a_container_without_input_reads_nothing(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell("wc -c; read x; echo end; sleep 1000"))
        await printed(gateway, b"0\nend")
        stream = await attached(gateway, **ALL)
        await stream.send(Channel.STDIN, b"x\n" * WINDOW)  # dropped, not kept
        await stream.close()

    play(tmp_path, scenario)


def test_a_terminal(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        script = "trap 'stty size' WINCH; echo ready; while :; do read l && echo got $l; done"
        await gateway.start(interactive(script, tty=True, stdin_once=True))
        await printed(gateway, b"ready")
        stream = await attached(gateway, **ALL, rows=30, cols=100)
        await stream.message(type="resize", rows=40, cols=120)
        await stream.send(Channel.STDIN, b"hello\n")
        await until(stream, b"40 120")
        await stream.send(Channel.STDIN, b"\x03")  # as typed: the terminal makes an interrupt of it
        await everything(stream)
        assert stream.result == {"exit_code": 130}

    play(tmp_path, scenario)


def test_a_slow_one_is_cut_and_holds_nobody_up(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(interactive(f"read x; yes 0123456789abcdef | head -c {FLOOD}; sleep 1000"))
        await up(gateway)
        slow = await attached(gateway, stdout=True)
        await (await attached(gateway, stdin=True)).send(Channel.STDIN, b"\n")
        before = memory(process.pid)
        log, written = await gateway.open("logs", follow=True), 0
        while written < FLOOD:
            item = await log.receive()
            assert isinstance(item, Data)
            written += len(item.data)
        assert written == FLOOD  # to its end, with nobody reading the one attached
        await everything(slow)
        assert "wrote more than 4194304 bytes that were not taken" in slow.result["error"]
        assert memory(process.pid) - before < 16 * 2**20

    play(tmp_path, scenario)


def test_input_that_is_not_read_keeps_nobody_waiting(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(interactive("sleep 1000"))
        await up(gateway)
        stream = await attached(gateway, **ALL)
        sending = asyncio.create_task(stream.send(Channel.STDIN, b"x" * (2 * WINDOW)))
        await asyncio.wait({sending}, timeout=0.3)
        assert not sending.done()
        sending.cancel()
        await stream.close()
        other = await attached(gateway, **ALL)
        await gateway.send(type="stop", uid="u1", attempt=1)
        await everything(other)
        assert other.result == {"exit_code": 143}

    play(tmp_path, scenario)


def test_what_does_not_run_cannot_be_attached_to(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell("true"))
        await gateway.ended()
        for container, words in (("main", 'container not found ("main")'), ("other", "container other is not valid")):
            stream = await gateway.open("attach", container)
            await everything(stream)
            assert words in stream.result["error"]

    play(tmp_path, scenario)
