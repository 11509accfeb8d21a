"""A real runner process against a gateway that speaks the wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from farnode.wire.frames import Channel
from farnode.wire.link import Stream

from .gateway import PATIENCE, FakeGateway, everything, order, running, shell

Process = asyncio.subprocess.Process
LINE = "0123456789abcdef"
FLOOD = 17 * 4 * 2**20


def play(
    directory: Path,
    scenario: Callable[[FakeGateway, Process], Awaitable[None]],
    welcome: dict[str, Any] | None = None,
) -> None:
    async def run() -> None:
        gateway = FakeGateway(directory, **(welcome or {}))
        async with running(gateway) as process:
            await scenario(gateway, process)

    asyncio.run(run())


async def exited(process: Process) -> int:
    return await asyncio.wait_for(process.wait(), PATIENCE)


async def up(gateway: FakeGateway, uid: str = "u1") -> dict[str, Any]:
    return await gateway.event(lambda event: event["phase"] == "Running", uid)


def exit_code(event: dict[str, Any]) -> int:
    code: int = event["containers"][0]["state"]["terminated"]["exitCode"]
    return code


def journal(gateway: FakeGateway) -> list[dict[str, Any]]:
    (path,) = gateway.allocation.glob("events-*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    return False


async def printed(gateway: FakeGateway, text: bytes) -> bytes:
    """What the container has printed, once that is in it."""
    await up(gateway)
    stream = await gateway.open("logs", follow=True)
    found = b""
    async with asyncio.timeout(PATIENCE):
        while text not in found:
            item = await stream.receive()
            assert item is not None, stream.result
            found += item.data  # type: ignore[union-attr]
    await stream.close()
    return found


def test_a_pod_runs_and_ends(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell("echo hello; echo oops >&2; exit 3"))
        ended = await gateway.ended()
        assert (ended["phase"], exit_code(ended)) == ("Failed", 3)
        assert [event["seq"] for event in gateway.events] == list(range(1, len(gateway.events) + 1))
        log = (gateway.allocation / "pods/u1/1.main.0.log").read_text()
        assert " stdout F hello\n" in log
        assert " stderr F oops\n" in log
        assert ended["logs"] == {"1.main.0.log": len(log)}
        (hello,) = gateway.hellos
        assert hello["token"] == "once"
        assert "process" in hello["runtimes"]
        assert hello["capacity"]["cores"] > 0
        assert gateway.allocation.stat().st_mode & 0o777 == 0o700
        assert not [path for path in gateway.allocation.rglob("*") if path.stat().st_mode & 0o077 and path.is_dir()]

    play(tmp_path, scenario)


def test_events_are_sent_again_until_they_are_acknowledged(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        gateway.acknowledging = False
        await gateway.start(shell("exit 0"))
        await gateway.ended()
        lost = list(gateway.events)
        gateway.events.clear()
        await gateway.close()
        gateway.acknowledging = True
        await gateway.listen()
        await gateway.ended()
        assert gateway.events == lost == journal(gateway)
        first, second = gateway.hellos
        assert "session" not in first
        assert (second["session"], "token" in second) == ("s3ssion", False)
        assert second["held"] == [{"uid": "u1", "attempt": 1, "ended": True, "inputs": 0}]
        assert second["incarnation"] == first["incarnation"]

    play(tmp_path, scenario)


def test_a_lost_connection_ends_nothing(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        await gateway.start(shell(f"read code < {fifo}; exit $code"))
        await up(gateway)
        await gateway.close()
        await asyncio.to_thread(fifo.write_text, "5\n")
        await gateway.listen()
        assert exit_code(await gateway.ended()) == 5

    play(tmp_path, scenario)


def test_an_attempt_is_started_once(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        again = shell(f"echo x >> {tmp_path}/runs")
        await gateway.start(again, again)
        await gateway.ended()
        gateway.events.clear()
        await gateway.start(again)
        assert exit_code(await gateway.ended()) == 0
        assert (tmp_path / "runs").read_text() == "x\n"

    play(tmp_path, scenario)


def test_a_silent_gateway_fences_the_runner(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell("trap '' TERM; echo $$; while :; do sleep 1; done"))
        pid = int(await printed(gateway, b"\n"))
        gateway.answering = False
        assert await exited(process) == 0
        assert not alive(pid)
        last = journal(gateway)[-1]
        assert (last["ended"], last["phase"], last["reason"]) == (True, "Failed", "RunnerLost")
        assert not list(gateway.scratch.iterdir())

    play(tmp_path, scenario, {"heartbeat": 0.1, "fence_after": 0.5})


def test_a_gateway_that_is_heard_but_may_not_hear_fences_the_runner(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        gateway.ponging = False
        await gateway.start(shell("sleep 1000"))

        async def talk() -> None:
            while True:
                await gateway.send(type="ping", time=0)
                await asyncio.sleep(0.1)

        talking = asyncio.create_task(talk())
        assert await exited(process) == 0
        talking.cancel()
        assert journal(gateway)[-1]["reason"] == "RunnerLost"

    play(tmp_path, scenario, {"heartbeat": 0.2, "fence_after": 1.0})


def test_a_dead_link_is_given_up_before_the_fence(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell("sleep 1000"))
        await up(gateway)
        gateway.answering = False
        link = gateway.link
        assert link is not None
        await asyncio.wait_for(link.accept(99).closed(), PATIENCE)
        gateway.answering = True
        await gateway.until(lambda: gateway.link is not link)
        await gateway.send(type="stop", uid="u1", attempt=1, grace=0)
        assert exit_code(await gateway.ended()) == 137

    play(tmp_path, scenario, {"heartbeat": 0.1})


def test_the_end_of_the_allocation(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        kind = shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done", restart_policy="Always")
        await gateway.start(kind)
        await printed(gateway, b"ready")
        process.send_signal(signal.SIGTERM)
        assert await exited(process) == 0
        ended = await gateway.ended()
        assert (ended["phase"], ended["reason"], exit_code(ended)) == ("Failed", "AllocationEnding", 0)

    play(tmp_path, scenario)


def test_what_remains_stays_on_the_spool_when_the_gateway_is_away(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell("sleep 1000"))
        await up(gateway)
        await gateway.close()
        process.send_signal(signal.SIGTERM)
        assert await exited(process) == 0
        assert not gateway.events[-1]["ended"]
        last = journal(gateway)[-1]
        assert (last["ended"], last["reason"]) == (True, "AllocationEnding")

    play(tmp_path, scenario)


def test_the_death_of_the_supervisor(tmp_path: Path) -> None:
    async def scenario() -> None:
        gateway = FakeGateway(tmp_path)
        reading, writing = os.pipe()
        os.set_inheritable(reading, True)
        async with running(gateway, inherit=(reading,), FARNODE_LIFELINE=str(reading)) as process:
            os.close(reading)
            await gateway.start(shell("echo $$ $(ls /proc/$$/fd); sleep 1000"))
            pid, *descriptors = map(int, (await printed(gateway, b"\n")).split())
            assert set(descriptors) <= {0, 1, 2, 3}  # 3 is the pipe of the shell's own substitution
            assert reading > 3
            os.close(writing)
            assert await exited(process) == 0
            assert not alive(pid)
            assert (await gateway.ended())["reason"] == "RunnerLost"

    asyncio.run(scenario())


def test_a_runner_that_is_refused_for_good_kills_and_goes(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell("sleep 1000"))
        await up(gateway)
        await gateway.send(type="refused", reason="another incarnation", final=True)
        assert await exited(process) == 0
        assert journal(gateway)[-1]["ended"]

    play(tmp_path, scenario)


def test_another_certificate_hears_nothing(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start()
        await gateway.close()
        fingerprint, gateway.fingerprint = gateway.fingerprint, "0" * 64
        await gateway.listen()
        async with asyncio.timeout(PATIENCE):
            while "shows another certificate" not in (tmp_path / "runner.out").read_text():
                await asyncio.sleep(0.02)
        assert len(gateway.hellos) == 1
        await gateway.close()
        gateway.fingerprint = fingerprint
        await gateway.listen()
        await gateway.until(lambda: len(gateway.hellos) == 2)

    play(tmp_path, scenario)


def test_a_drained_runner_goes_after_its_last_pod(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell("exit 0"))
        await gateway.send(type="drain")
        assert await exited(process) == 0
        assert (await gateway.ended())["phase"] == "Succeeded"
        assert not list(gateway.scratch.iterdir())

    play(tmp_path, scenario)


def test_exec(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell("sleep 1000"))
        await up(gateway)
        stream = await gateway.open("exec", command=["sh", "-c", "cat; echo $FARNODE_ATTEMPT >&2; exit 4"], stdin=True)
        sent = b"0123456789" * 100_000
        out, err = asyncio.create_task(everything(stream)), b""
        await stream.send(Channel.STDIN, sent)
        await stream.eof(Channel.STDIN)
        assert await out == sent
        assert stream.result == {"exit_code": 4}
        stream = await gateway.open("exec", command=["sh", "-c", "echo $FARNODE_ATTEMPT >&2"])
        err = await everything(stream, Channel.STDERR)
        assert err == b"u1/1\n"
        stream = await gateway.open("exec", command=["no-such-program"])
        assert b"no-such-program" in await everything(stream, Channel.STDERR)
        assert stream.result == {"exit_code": 127}
        stream = await gateway.open("exec", "other", command=["true"])
        await everything(stream)
        assert stream.result == {"error": "container other is not valid for pod pod"}

    play(tmp_path, scenario)


def test_exec_with_a_terminal(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell("sleep 1000"))
        await up(gateway)
        script = "stty size; read line; stty size; tty > /dev/tty; exit 6"
        stream = await gateway.open("exec", command=["sh", "-c", script], tty=True, stdin=True, rows=30, cols=100)
        out = asyncio.create_task(everything(stream))
        await stream.message(type="resize", rows=40, cols=120)
        await stream.send(Channel.STDIN, b"go\n")
        lines = (await out).split(b"\r\n")
        assert lines[-3:-1][0] == b"40 120"
        assert lines[-2].startswith(b"/dev/pts/")
        assert stream.result == {"exit_code": 6}

    play(tmp_path, scenario)


def test_an_exec_dies_with_its_stream(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell("sleep 1000"))
        await up(gateway)
        stream = await gateway.open("exec", command=["sh", "-c", "echo $$; sleep 1000 & wait"])
        item: Any = await stream.receive()
        await stream.close()
        async with asyncio.timeout(PATIENCE):
            while alive(int(item.data)):
                await asyncio.sleep(0.01)

    play(tmp_path, scenario)


def test_an_exec_dies_with_its_container(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell("sleep 1000"))
        await up(gateway)
        stream = await gateway.open("exec", command=["sleep", "1000"])
        await gateway.send(type="stop", uid="u1", attempt=1)
        await everything(stream)
        assert stream.result == {"exit_code": 137}
        await gateway.ended()

    play(tmp_path, scenario)


def test_logs_of_a_living_and_of_a_former_container(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        script = (
            f"test -e {tmp_path}/second && {{ echo 2; sleep 1000; }}; echo 1; : > {tmp_path}/second; read x < {fifo}"
        )
        await gateway.start(shell(script, restart_policy="Always"))
        await printed(gateway, b"1\n")

        async def log(**options: Any) -> tuple[bytes, Stream]:
            stream = await gateway.open("logs", **options)
            return await everything(stream), stream

        _, stream = await log(previous=True)
        assert stream.result == {"error": 'previous terminated container "main" in pod "pod" not found'}
        following = await gateway.open("logs", follow=True)
        await asyncio.to_thread(fifo.write_text, "\n")
        assert await everything(following) == b"1\n"  # ends with the container it followed
        assert following.result == {}
        await gateway.event(lambda event: event["containers"][0]["restartCount"] == 1)
        assert await printed(gateway, b"2\n") == b"2\n"
        assert (await log(previous=True))[0] == b"1\n"
        text, _ = await log(timestamps=True, tail=1)
        assert text.endswith(b"Z 2\n")
        stream = await gateway.open("logs", "other")
        await everything(stream)
        assert stream.result == {"error": "container other is not valid for pod pod"}

    play(tmp_path, scenario)


def test_a_flood_neither_stops_others_nor_fills_memory(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(order("true", uid="u0"))
        await gateway.ended("u0")
        before = memory(process.pid)
        await gateway.start(shell(f"yes {LINE} | head -c {FLOOD}; sleep 1000"))
        await up(gateway)
        await gateway.start(order("true", uid="u2"))
        await gateway.ended("u2")
        stream = await gateway.open("logs", follow=True)
        got = 0
        async with asyncio.timeout(60):
            while got < FLOOD:
                item: Any = await stream.receive()
                got += len(item.data)
        assert got == FLOOD
        assert memory(process.pid) - before < 16 * 2**20

    play(tmp_path, scenario)


def memory(pid: int) -> int:
    """Bytes, at their peak."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_a_container_with_a_terminal(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        pod = shell("tty; echo err >&2")
        pod["containers"][0]["tty"] = True
        await gateway.start(pod)
        await gateway.ended()
        stream = await gateway.open("logs")
        out = (await everything(stream)).split(b"\r\n")
        assert out[0].startswith(b"/dev/pts/")
        assert out[1:] == [b"err", b""]

    play(tmp_path, scenario)


@pytest.mark.parametrize("kind", ["logs", "exec", "dance"])
def test_streams_of_what_is_not_there(tmp_path: Path, kind: str) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start()
        stream = await gateway.open(kind, uid="nobody")
        await everything(stream)
        assert stream.result == {"error": "this runner has no attempt 1 of pod nobody"}

    play(tmp_path, scenario)
