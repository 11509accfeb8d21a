"""What containers may use, and what becomes of those that use more. Real programs, with the stage's own time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from .gateway import FakeGateway, everything, order, running
from .stage import Stage, main_state, play, shell

MIB = 2**20
HOG = "import sys, time; held = b'x' * (int(sys.argv[1]) << 20); print('has it', flush=True); time.sleep(600)"
BOMBS = {
    "doubling": "bomb() { [ $1 = 0 ] || { bomb $(($1 - 1)) & bomb $(($1 - 1)) & }; sleep 600; }; bomb 8",
    "sessions": "while sleep 0.005; do setsid sleep 600 & done",
    "orphans": "while sleep 0.005; do (sleep 600 &); done",
}
"""Slow ones, and small: nobody else on this machine shall suffer."""


def program(text: str, *arguments: str, name: str = "main", **fields: Any) -> dict[str, Any]:
    return {"name": name, "command": [sys.executable, "-S", "-c", text, *arguments], **fields}


@contextlib.asynccontextmanager
async def time_goes_on(stage: Stage) -> Any:
    """A tenth of a second of the stage's time for some hundredths of ours."""

    async def go_on() -> None:
        while True:
            stage.clock.advance(0.1)
            await asyncio.sleep(0.02)

    going = asyncio.ensure_future(go_on())
    try:
        yield
    finally:
        going.cancel()


async def watched_end(stage: Stage) -> Any:
    async with time_goes_on(stage):
        return await stage.ended()


def terminated(event: Any, index: int = 0) -> tuple[int, str]:
    state = main_state(event, index)["terminated"]
    return state["exitCode"], state["reason"]


# ---- memory ------------------------------------------------------------------------------------------------------


def test_a_hog_is_ended_as_the_kernel_would(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[program(HOG, "200", memory_limit=100 * MIB)])
        ended = await watched_end(stage)
        assert (terminated(ended), ended["phase"]) == ((137, "OOMKilled"), "Failed")

    play(tmp_path, scenario)


def test_within_its_limit_nobody_is_disturbed(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[program(HOG, "60", memory_limit=100 * MIB)])
        async with time_goes_on(stage):
            await stage.printed("has it")
            await asyncio.sleep(0.5)
        assert "running" in stage.now()["containers"][0]["state"]

    play(tmp_path, scenario)


def test_it_runs_again_by_its_policy(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(restart_policy="OnFailure", containers=[program(HOG, "200", memory_limit=100 * MIB)])
        async with time_goes_on(stage):
            event = await stage.until(lambda event: main_state(event).get("waiting"))
        last = event["containers"][0]["lastState"]["terminated"]
        assert (last["exitCode"], last["reason"]) == (137, "OOMKilled")

    play(tmp_path, scenario)


def test_many_small_hogs_are_one(tmp_path: Path) -> None:
    script = f'for n in 1 2 3 4 5 6 7 8; do setsid {sys.executable} -S -c "{HOG}" 30 & done; wait'

    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell(script, memory_limit=150 * MIB)])
        assert terminated(await watched_end(stage)) == (137, "OOMKilled")

    play(tmp_path, scenario)


def test_pages_that_forked_processes_share_count_once(tmp_path: Path) -> None:
    text = (
        "import os, time; held = b'x' * (60 << 20)\n"
        "for n in range(5):\n    if not os.fork(): time.sleep(600)\n"
        "print('forked', flush=True); time.sleep(600)"
    )

    async def scenario(stage: Stage) -> None:
        stage.start(containers=[program(text, memory_limit=150 * MIB)])
        async with time_goes_on(stage):
            await stage.printed("forked")
            await asyncio.sleep(0.5)
        assert "running" in stage.now()["containers"][0]["state"]

    play(tmp_path, scenario)


def test_a_mapped_data_set_is_the_page_caches(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"x" * (200 * MIB))
    text = (
        "import mmap, sys, time; file = open(sys.argv[1], 'rb')\n"
        "held = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ); sum(held[::4096])\n"
        "print('has it', flush=True); time.sleep(600)"
    )

    async def scenario(stage: Stage) -> None:
        stage.start(containers=[program(text, str(data), memory_limit=100 * MIB)])
        async with time_goes_on(stage):
            await stage.printed("has it")
            await asyncio.sleep(0.5)
        assert "running" in stage.now()["containers"][0]["state"]

    play(tmp_path, scenario)


def test_files_in_volumes_of_memory_count(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        script = "dd if=/dev/zero of=$V_mnt/file bs=1M count=150 2>&1; sleep 600"
        main = shell(script, memory_limit=100 * MIB, mounts=[{"volume": "v", "path": "/mnt"}])
        stage.start(containers=[main], volumes=[{"name": "v", "kind": "empty", "medium": "Memory"}])
        assert terminated(await watched_end(stage)) == (137, "OOMKilled")

    play(tmp_path, scenario)


def test_of_a_pod_with_limits_for_all_the_one_that_uses_most_is_ended(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        script = "dd if=/dev/zero of=$V_mnt/file bs=1M count=120 2>&1; echo done; sleep 600"
        writer = shell(script, "writer", memory_limit=100 * MIB, mounts=[{"volume": "v", "path": "/mnt"}])
        holder = program(HOG, "90", name="holder", memory_limit=100 * MIB)
        stage.start(containers=[writer, holder], volumes=[{"name": "v", "kind": "empty", "medium": "Memory"}])
        async with time_goes_on(stage):
            event = await stage.until(lambda event: "terminated" in main_state(event, 1))
        assert terminated(event, 1) == (137, "OOMKilled")
        assert "running" in main_state(event, 0)

    play(tmp_path, scenario)


def test_who_kills_itself_was_not_out_of_memory(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell("kill -9 $$", memory_limit=100 * MIB)])
        assert terminated(await watched_end(stage)) == (137, "Error")

    play(tmp_path, scenario)


# ---- processes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_fork_bomb_ends_alone(tmp_path: Path, bomb: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell(bomb), shell("sleep 600", "neighbour")], limits={"processes": 60})
        async with time_goes_on(stage):
            event = await stage.until(lambda event: "terminated" in main_state(event))
        assert terminated(event) == (137, "Error")
        message = main_state(event)["terminated"]["message"]
        assert message.startswith("the container had ")
        assert message.endswith("the site's limit is 60")
        assert "running" in main_state(event, 1)

    play(tmp_path, scenario)


# ---- CPUs and scores ---------------------------------------------------------------------------------------------

SHOWN = "grep Cpus_allowed_list /proc/self/status; cat /proc/self/oom_score_adj"


@pytest.mark.parametrize(("limit", "count"), [(0.5, 1), (1.0, 1), (99.0, len(os.sched_getaffinity(0)))])
def test_a_limit_of_cpus_pins(tmp_path: Path, limit: float, count: int) -> None:
    async def scenario(stage: Stage) -> None:
        text = "import os; print(len(os.sched_getaffinity(0)))"
        stage.start(containers=[program(text, cpu_limit=limit)])
        await stage.ended()
        assert stage.log() == f"{count}\n"

    play(tmp_path, scenario)


def test_the_runner_itself_stays_as_it_was(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0), Path("/proc/self/oom_score_adj").read_text()

    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell(SHOWN, cpu_limit=1.0)])
        await stage.ended()
        assert stage.log().endswith("999\n")

    play(tmp_path, scenario)
    assert (os.sched_getaffinity(0), Path("/proc/self/oom_score_adj").read_text()) == before


# ---- a real runner, in real time ---------------------------------------------------------------------------------

GREEDY = (
    "import time\nheld = []\n"
    "for n in range(40):\n    held.append(b'x' * (25 << 20)); time.sleep(0.02)\n"
    "print('has it all', flush=True); time.sleep(600)"
)


def test_a_fast_hog_is_ended_in_time_and_its_neighbour_lives(tmp_path: Path) -> None:
    """It takes a gigabyte in a second, and has a fifth of that."""

    async def scenario() -> None:
        gateway = FakeGateway(tmp_path)
        async with running(gateway):
            await gateway.start(order("sleep", "600", uid="u2"))
            hog = order(uid="u1")
            hog["containers"] = [program(GREEDY, memory_limit=200 * MIB, cpu_limit=1.0)]
            await gateway.start({**hog, "limits": {"processes": 100}})
            assert terminated(await gateway.ended()) == (137, "OOMKilled")
            assert not (gateway.allocation / "pods/u1/1.main.0.log").exists(), "it had it all"
            stream = await gateway.open("exec", uid="u2", command=["cat", "/proc/self/oom_score_adj"])
            assert await everything(stream) == b"1000\n"

    asyncio.run(scenario())
