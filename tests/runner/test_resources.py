"""The pieces of what keeps containers within their limits."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from farnode.runner.limits import memory, oom
from farnode.runner.limits.affinity import Cpus
from farnode.runner.limits.census import Census, Process, Resident
from farnode.runner.limits.cgroup import Delegation, counted
from farnode.runner.limits.judgement import AROUND, headroom, sentences
from farnode.runner.limits.memory import Held
from farnode.runner.limits.ports import MESSAGE, Claims, PortsTaken
from farnode.runner.limits.pulse import Pulse
from farnode.runner.limits.usage import Ledger, Subject, Usage
from farnode.runner.processes.leftovers import Mark

from .stage import FakeClock, Stage, play, shell

GIB = 2**30


# ---- CPUs --------------------------------------------------------------------------------------------------------


def test_the_cpus_that_the_fewest_use() -> None:
    cpus = Cpus(range(4))
    taken = [cpus.take(limit) for limit in (1.5, 1, 0.1, 2)]
    assert [sorted(one) for one in taken] == [[0, 1], [2], [3], [0, 1]]
    cpus.give_back(taken[1])
    assert cpus.take(1) == {2}


@pytest.mark.parametrize("limit", [0.0, 4, 64])
def test_a_limit_that_is_none_pins_to_nothing(limit: float) -> None:
    assert Cpus(range(4)).take(limit) == frozenset()


# ---- whom the kernel ends first ----------------------------------------------------------------------------------

BEST_EFFORT: Any = {"name": "c"}
BURSTABLE: Any = {"name": "c", "memory_request": 2 * GIB}
GUARANTEED: Any = {"name": "c", "cpu_limit": 1.0, "memory_limit": GIB}


@pytest.mark.parametrize(
    ("containers", "own", "score"),
    [
        ([BEST_EFFORT], 0, 1000),
        ([BURSTABLE], 0, 750),
        ([{"name": "c", "memory_limit": 8 * GIB}], 0, 100),
        ([BEST_EFFORT, BURSTABLE], 0, 999),
        ([GUARANTEED], 0, 100),
        ([GUARANTEED], 200, 300),
        ([BURSTABLE], 950, 1000),
    ],
)
def test_scores_are_the_kubelets_above_the_runners(containers: list[Any], own: int, score: int) -> None:
    assert oom.score({"containers": containers}, containers[0], 8 * GIB, own) == score


def test_kills_long_ago_are_not_recent(tmp_path: Path) -> None:
    clock, counter = FakeClock(), tmp_path / "memory.events"
    counter.write_text("oom 3\noom_kill 3\n")
    kills = oom.Kills(clock)
    kills._file = str(counter)
    kills._counts = [(clock.time(), 3)]
    assert not kills.recent
    counter.write_text("oom 4\noom_kill 4\n")
    clock.advance(oom.APART)
    kills.look()
    assert kills.recent
    clock.advance(oom.RECENT + 1)
    kills.look()
    clock.advance(1)
    kills.look()
    assert not kills.recent
    for _ in range(1000):
        clock.advance(oom.APART / 100)
        kills.look()
    assert len(kills._counts) <= oom.RECENT / oom.APART + 2


# ---- processes ---------------------------------------------------------------------------------------------------


def test_a_census_finds_children_sessions_and_the_marked() -> None:
    mark = Mark("u/1", "main")
    script = "sleep 60 & (setsid sleep 60 &) ; sleep 60"
    process = subprocess.Popen(["sh", "-c", script], start_new_session=True, env={**os.environ, **mark.variables()})
    census = Census(os.getpid())
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            (trees,) = census.take([Resident((process.pid,), process.pid, mark)])
            found = [one for tree in trees.values() for one in tree if one.alive]
            if len(found) >= 3:
                break
        assert process.pid in {one.pid for one in found}
        assert {one.threads for one in found} == {1}
    finally:
        for one in found:
            with contextlib.suppress(ProcessLookupError):  # a shell of a moment
                os.kill(one.pid, 9)
        process.wait()


def test_the_time_of_what_ended_is_kept() -> None:
    def tree(ticks: int) -> Any:
        return [Process(1, 0, 1, "S", 1, 1, ticks, 0)]

    ledger = Ledger()
    assert ledger.cpu({(1, 1): tree(100), (2, 1): tree(50)}) == 150 / os.sysconf("SC_CLK_TCK")
    assert ledger.cpu({(1, 1): tree(110)}) == 160 / os.sysconf("SC_CLK_TCK")
    assert ledger.cpu({(1, 1): tree(90)}) == 160 / os.sysconf("SC_CLK_TCK")


def test_a_child_that_borrows_its_parents_memory_counts_once() -> None:
    """As between vfork and exec."""
    script = (
        "import ctypes, os, sys, time\n"
        "held = b'x' * (50 << 20)\n"
        "CLONE_VM = 0x100\n"
        "libc = ctypes.CDLL(None)\n"
        "stack = ctypes.create_string_buffer(1 << 20)\n"
        "pause = ctypes.cast(libc.sleep, ctypes.c_void_p)\n"
        "top = ctypes.c_void_p(ctypes.addressof(stack) + (1 << 20) - 64)\n"
        "child = libc.clone(pause, top, CLONE_VM | 17, ctypes.c_void_p(60))\n"
        "print(child, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        assert memory.share_memory(child, parent.pid)
        assert not memory.share_memory(parent.pid, os.getpid())
        together = memory.exact([(parent.pid, os.getpid()), (child, parent.pid)]).total
        assert 50 << 20 <= together < 75 << 20
        assert memory.bound([parent.pid, child]).total > 100 << 20
    finally:
        os.kill(child, 9)
        parent.kill()
        parent.wait()
        parent.stdout.close()


# ---- judgement ---------------------------------------------------------------------------------------------------


def subject(attempt: str = "u/1", memory: int | None = None, processes: int | None = None) -> Subject:
    return Subject(attempt, Resident((1,), 1, Mark("u/1", "c")), (), memory, processes)


def usage(private: int = 0, shared: int = 0, files: int = 0, tasks: int = 1) -> Usage:
    return Usage((1,), tasks, 0.0, Held(private, shared), files, 0)


def test_memory_beats_processes() -> None:
    found = sentences([subject(memory=10, processes=5)], [usage(private=11, tasks=6 + AROUND)])
    assert [(one.place, one.reason) for one in found] == [(0, "OOMKilled")]


def test_mapped_files_in_memory_are_not_counted_twice() -> None:
    assert sentences([subject(memory=10)], [usage(private=4, shared=5, files=6)]) == []
    assert len(sentences([subject(memory=10)], [usage(private=4, shared=5, files=7)])) == 1


def test_a_pod_has_a_limit_only_where_all_its_containers_have_one() -> None:
    usages = [usage(private=5, files=20), usage(private=6, files=20)]
    assert sentences([subject(memory=10), subject()], usages) == []
    assert [one.place for one in sentences([subject(memory=10), subject(memory=10)], usages)] == [1]


def test_headroom_is_the_least() -> None:
    subjects = [subject(memory=10), subject(memory=20, processes=9), subject()]
    assert headroom(subjects, [usage(4), usage(17, tasks=2), usage(99)]) == (3, 7)
    assert headroom([subject()], [usage()]) == (float("inf"), float("inf"))


def test_a_pulse_tells_of_what_could_matter() -> None:
    assert Pulse(100, 50).alarms(Pulse(200, 50), 150, 99)
    assert not Pulse(100, 50).alarms(Pulse(200, 50), 250, 99)
    assert Pulse(100, 80).alarms(Pulse(100, 50), 150, 40)
    assert Pulse.now().available > 0


# ---- ports -------------------------------------------------------------------------------------------------------


def test_a_port_is_claimed_by_one() -> None:
    first = Claims([50080, 50081])
    with pytest.raises(PortsTaken, match="didn't have enough free ports"):
        Claims([50082, 50081])
    other = Claims([50082])
    first.release()
    Claims([50081]).release()
    other.release()


def test_a_pod_whose_port_is_taken_is_handed_back_unstarted(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(uid="u1", containers=[shell("sleep 600")], ports=[50083])
        await stage.until(lambda event: event["phase"] == "Running")
        stage.start(uid="u2", containers=[shell("sleep 600")], ports=[50083])
        refused = await stage.ended("u2")
        assert (refused["reason"], refused["message"]) == ("NodePorts", MESSAGE)
        assert "started_at" not in refused
        stage.stop(grace=0)
        await stage.ended("u1")
        stage.start(uid="u3", containers=[shell("true")], ports=[50083])
        assert (await stage.ended("u3"))["phase"] == "Succeeded"

    play(tmp_path, scenario)


# ---- cgroups ------------------------------------------------------------------------------------------------------


def test_where_nothing_is_delegated_there_is_no_group(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").touch()
    assert Delegation.find("n0", str(tmp_path)) is None
    assert [path.name for path in tmp_path.iterdir()] == ["cgroup.procs"]
    assert Delegation.find("n0", "") is None


def test_counters_are_lines_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("max 2\noom 1\noom_kill 7\n")
    assert counted(str(tmp_path / "events")) == 7
    assert counted(str(tmp_path / "missing")) is None
