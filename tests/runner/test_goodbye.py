"""The last words of a runner: whoever ends in order says so, and nobody else does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farnode.runner.journal import Journal
from farnode.runner.limits.devices import Devices
from farnode.runner.main import Runner
from farnode.runner.output.streams import Streams
from farnode.runner.roster import Roster

from .gateway import FakeGateway, order, running, shell
from .stage import Stage
from .stage import play as perform
from .test_runner import Process, exited, journal, play, up


async def drained(gateway: FakeGateway, process: Process) -> None:
    await gateway.send(type="drain")


async def terminated(gateway: FakeGateway, process: Process) -> None:
    process.terminate()


@pytest.mark.parametrize("end", [drained, terminated])
def test_who_ends_in_order_says_so_last(tmp_path: Path, end: Callable[[FakeGateway, Process], Awaitable[None]]) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(*(shell("trap 'exit 7' TERM; sleep 0.3 & wait", uid=f"u{n}") for n in range(5)))
        await up(gateway, "u4")
        await end(gateway, process)
        assert await exited(process) == 0
        await gateway.until(lambda: gateway.heard[-1] == "bye")
        assert gateway.heard.count("bye") == 1
        assert {event["uid"] for event in gateway.events if event["ended"]} == {f"u{n}" for n in range(5)}
        assert gateway.events == journal(gateway)
        assert len(gateway.hellos) == 1

    play(tmp_path, scenario)


def test_a_goodbye_waits_for_the_streams(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell("seq 100000; sleep 0.2"))
        await up(gateway)
        stream = await gateway.open("logs", follow=True)
        await gateway.send(type="drain")
        await gateway.ended()
        await asyncio.sleep(0.2)
        assert "bye" not in gateway.heard
        size = 0
        while (item := await stream.receive()) is not None:
            size += len(item.data)  # type: ignore[union-attr]
        assert size == len("".join(f"{n}\n" for n in range(1, 100001)))
        assert await exited(process) == 0
        await gateway.until(lambda: gateway.heard[-1] == "bye")

    play(tmp_path, scenario)


def test_no_goodbye_while_an_event_is_not_acknowledged(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        gateway.acknowledging = False
        await gateway.start(order("true"))
        await gateway.ended()
        await gateway.send(type="drain")
        assert await exited(process) == 0
        assert "bye" not in gateway.heard

    play(tmp_path, scenario)


def test_no_goodbye_while_there_is_something_to_tell(tmp_path: Path) -> None:
    """An order came at the very end and was refused; the event is not in the journal yet."""

    async def scenario(stage: Stage) -> None:
        journal = Journal(tmp_path / "events.jsonl")
        roster = Roster(stage.host, Devices([]), journal.append, lambda: journal.pending)
        left: list[tuple[int, int]] = []
        stats: Any = None

        async def leave() -> None:
            left.append((journal.acked, journal.last))

        parts = {"_journal": journal, "_roster": roster, "_streams": Streams(roster, stats), "_lost": False}
        ending: Any = SimpleNamespace(**parts, _connection=SimpleNamespace(leave=leave))

        async def acknowledge() -> None:
            await journal.longer(0)
            journal.acknowledge(1)

        acknowledging = asyncio.ensure_future(acknowledge())
        roster.end(0, "", "drained")
        roster.start(stage.order(containers=[]))
        while not roster.idle:
            await asyncio.sleep(0)
        assert journal.last == 0
        await Runner._last_words(ending)
        assert left == [(1, 1)]
        await acknowledging
        journal.close()

    perform(tmp_path, scenario)


def test_who_is_fenced_or_refused_says_nothing(tmp_path: Path) -> None:
    async def refused(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell("sleep 1000"))
        await up(gateway)
        await gateway.send(type="refused", reason="another incarnation", final=True)
        assert await exited(process) == 0
        assert "bye" not in gateway.heard

    async def fenced(gateway: FakeGateway, process: Process) -> None:
        await gateway.start(shell("sleep 1000"))
        await up(gateway)
        gateway.ponging = False  # heard, but it may not hear us
        assert await exited(process) == 0
        assert "bye" not in gateway.heard

    for scenario, welcome in ((refused, None), (fenced, {"heartbeat": 0.2, "fence_after": 0.5})):
        directory = tmp_path / scenario.__name__
        directory.mkdir()
        play(directory, scenario, welcome)


def test_who_lost_its_supervisor_says_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        reading, writing = os.pipe()
        gateway = FakeGateway(tmp_path)
        os.set_inheritable(reading, True)
        async with running(gateway, inherit=(reading,), FARNODE_LIFELINE=str(reading)) as process:
            os.close(reading)
            await gateway.start(shell("sleep 1000"))
            await up(gateway)
            os.close(writing)
            assert await exited(process) == 0
            assert (await gateway.ended())["reason"] == "RunnerLost"
            assert "bye" not in gateway.heard

    asyncio.run(scenario())


def test_an_order_that_is_none_takes_no_other_with_it(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        wrong: Any = {**order("true", uid="u2"), "volumes": [{"kind": "empty"}]}
        nameless: Any = {"containers": []}
        await gateway.start(order("true"), wrong, nameless, order("true", uid="u3"))
        assert (await gateway.ended("u1"))["phase"] == (await gateway.ended("u3"))["phase"] == "Succeeded"
        refused = await gateway.ended("u2")
        assert (refused["phase"], refused["reason"]) == ("Failed", "RunnerError")
        assert "does not understand the pod's order: KeyError('name')" in refused["message"]

    play(tmp_path, scenario)


def test_a_thousand_orders_at_once_keep_neither_heartbeats_nor_signals_waiting(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, process: Process) -> None:
        uids = [f"u{n}" for n in range(1000)]
        await gateway.start(*(order("true", uid=uid) for uid in uids))
        asked = asyncio.get_running_loop().time()
        await gateway.send(type="ping", time=0.0)
        await gateway.until(lambda: "pong" in gateway.heard)
        assert asyncio.get_running_loop().time() - asked < 2
        await gateway.until(lambda: sum(event["ended"] for event in gateway.events) >= 50)
        process.terminate()
        await gateway.until(lambda: sum(event["ended"] for event in gateway.events) == 1000)
        reasons = {event["reason"] for event in gateway.events if event["ended"]}
        assert reasons == {"", "AllocationEnding"}, reasons
        assert await exited(process) == 0
        await gateway.until(lambda: gateway.heard[-1] == "bye")

    play(tmp_path, scenario)
