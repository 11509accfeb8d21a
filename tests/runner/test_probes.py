"""Probes, as the kubelet's prober does them; programs are real, time is not.

https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from farnode.runner.probes.probe import Tally

from .stage import Stage, main_state, play, shell

HOLD = "echo up; while :; do sleep 0.01; done"


class Asked:
    """An exec probe that counts how often it was asked and succeeds while `good` exists."""

    def __init__(self, directory: Path, name: str = "asked") -> None:
        self.good = directory / f"{name}.good"
        self._asked = directory / name

    def probe(self, **fields: Any) -> dict[str, Any]:
        script = f"echo x >> {self._asked}; test -e {self.good}"
        return {"action": {"kind": "exec", "command": ["sh", "-c", script]}, "period": 10.0, "timeout": 1.0, **fields}

    @property
    def times(self) -> int:
        return len(self._asked.read_text().split()) if self._asked.exists() else 0


async def answered(stage: Stage, asked: Asked, times: int) -> None:
    """So often, and what comes of it is known."""
    await stage.happens(lambda: asked.times >= times and not stage.now_asking())
    assert asked.times == times


def container(event: Any) -> Any:
    return event["containers"][0]


@pytest.mark.parametrize(
    ("success", "failure", "answers", "verdicts"),
    [
        (1, 3, "+", "+"),
        (1, 3, "---", "..-"),
        (1, 3, "--+---", "..+..-"),
        (2, 1, "+-++-", ".-.+-"),
        (3, 2, "++-+++--", ".....+.-"),
        (1, 1, "+-+-", "+-+-"),
        (2, 2, "++++", ".+++"),
    ],
)
def test_thresholds(success: int, failure: int, answers: str, verdicts: str) -> None:
    """Only so many equal answers in a row count; any other begins anew."""
    tally = Tally({"success_threshold": success, "failure_threshold": failure})
    found = [tally.add(answer == "+") for answer in answers]
    assert "".join({True: "+", False: "-", None: "."}[one] for one in found) == verdicts


def test_readiness_comes_and_goes(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        asked = Asked(tmp_path)
        probe = asked.probe(initial_delay=5.0, success_threshold=2, failure_threshold=2)
        stage.start(containers=[shell(HOLD, readiness_probe=probe)])
        event = await stage.until(lambda event: "running" in main_state(event))
        assert (container(event)["started"], container(event)["ready"]) == (True, False)
        stage.clock.advance(4.9)
        assert not stage.now_asking()
        asked.good.touch()
        stage.clock.advance(0.1)
        await answered(stage, asked, 1)
        assert not container(stage.now())["ready"]
        stage.clock.advance(10)
        await stage.until(lambda event: container(event)["ready"])
        asked.good.unlink()
        stage.clock.advance(10)
        await answered(stage, asked, 3)
        assert container(stage.now())["ready"]
        seen = len(stage.events)
        stage.clock.advance(10)
        event = await stage.until(lambda event: not container(event)["ready"], after=seen)
        assert (event["phase"], container(event)["restartCount"]) == ("Running", 0)
        assert stage.notes("Unhealthy")[-1] == "Readiness probe failed: "

    play(tmp_path, scenario)


def test_liveness_restarts_and_says_so(tmp_path: Path) -> None:
    """A run that its probe ended is followed by another even where the policy would be content with its exit code."""

    async def scenario(stage: Stage) -> None:
        asked = Asked(tmp_path)
        probe = asked.probe(period=1.0, failure_threshold=2)
        stage.start(restart_policy="OnFailure", containers=[shell(f"trap 'exit 0' TERM; {HOLD}", liveness_probe=probe)])
        await stage.printed("up")
        await answered(stage, asked, 1)
        stage.clock.advance(1)
        event = await stage.until(
            lambda event: container(event)["restartCount"] == 1 and "running" in main_state(event)
        )
        assert container(event)["lastState"]["terminated"]["exitCode"] == 0
        assert stage.notes("Killing") == ["Container main failed liveness probe, will be restarted"]
        assert stage.notes("Unhealthy")[:2] == ["Liveness probe failed: "] * 2

    play(tmp_path, scenario)


def test_liveness_of_what_is_never_restarted(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        probe = Asked(tmp_path).probe(failure_threshold=1)
        stage.start(containers=[shell(HOLD, liveness_probe=probe)])
        ended = await stage.ended()
        assert (ended["phase"], main_state(ended)["terminated"]["exitCode"]) == ("Failed", 143)
        assert stage.notes("Killing") == ["Container main failed liveness probe"]
        assert not stage.clock.armed

    play(tmp_path, scenario)


@pytest.mark.parametrize(("own", "seconds"), [(7.0, 7.0), (None, 20.0)])
def test_the_grace_of_a_probe(tmp_path: Path, own: float | None, seconds: float) -> None:
    """Probe-level terminationGracePeriodSeconds; its absence means the pod's."""

    async def scenario(stage: Stage) -> None:
        asked = Asked(tmp_path)
        asked.good.touch()
        probe = asked.probe(period=1.0, failure_threshold=1, grace=own)
        stage.start(grace=20.0, containers=[shell(f"trap 'echo term' TERM; {HOLD}", liveness_probe=probe)])
        await stage.printed("up")
        await answered(stage, asked, 1)
        asked.good.unlink()
        stage.clock.advance(1)
        await stage.printed("term")
        stage.clock.advance(seconds - 0.1)
        assert "running" in main_state(stage.now())
        stage.clock.advance(0.1)
        assert main_state(await stage.ended())["terminated"]["exitCode"] == 137

    play(tmp_path, scenario)


def test_the_startup_probe_holds_the_others_back(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        startup, liveness, readiness = (Asked(tmp_path, name) for name in ("startup", "liveness", "readiness"))
        for one in (liveness, readiness):
            one.good.touch()
        probes = {
            "startup_probe": startup.probe(failure_threshold=30, period=2.0),
            "liveness_probe": liveness.probe(),
            "readiness_probe": readiness.probe(),
        }
        stage.start(containers=[shell(HOLD, **probes)])
        await stage.printed("up")
        for times in range(1, 8):
            await answered(stage, startup, times)
            stage.clock.advance(2)
        assert (liveness.times, readiness.times) == (0, 0)
        assert not container(stage.now())["started"]
        await answered(stage, startup, 8)
        startup.good.touch()
        stage.clock.advance(2)
        event = await stage.until(lambda event: container(event)["ready"])
        assert container(event)["started"]
        stage.clock.advance(10)
        await answered(stage, liveness, 2)
        await answered(stage, readiness, 2)
        assert startup.times == 9

    play(tmp_path, scenario)


def test_a_startup_probe_that_never_succeeds(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        asked = Asked(tmp_path)
        probe = asked.probe(failure_threshold=2)
        stage.start(restart_policy="Always", containers=[shell(HOLD, startup_probe=probe)])
        await stage.printed("up")
        await answered(stage, asked, 1)
        stage.clock.advance(10)
        event = await stage.until(lambda event: container(event)["restartCount"] == 1)
        assert stage.notes("Killing") == ["Container main failed startup probe, will be restarted"]
        assert not container(event)["started"]

    play(tmp_path, scenario)


def test_a_probe_that_takes_too_long_has_failed(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        pid = tmp_path / "pid"
        command = ["sh", "-c", f"echo $$$$ > {pid}; exec sleep 1000"]
        probe = {"action": {"kind": "exec", "command": command}, "timeout": 3.0, "failure_threshold": 1}
        stage.start(containers=[shell(HOLD, readiness_probe=probe)])
        await stage.happens(lambda: pid.exists() and pid.read_text().strip())
        stage.clock.advance(3)
        await stage.until(lambda _: stage.notes("Unhealthy"))
        words = (
            f'Readiness probe failed: command timed out: "sh -c echo $$ > {pid}; exec sleep 1000" timed out after 3s'
        )
        assert stage.notes("Unhealthy") == [words.replace("echo $$ >", "echo $$$$ >")]
        await stage.happens(lambda: not Path(f"/proc/{int(pid.read_text())}").exists())

    play(tmp_path, scenario)


def test_there_is_one_probe_of_a_kind_at_a_time(tmp_path: Path) -> None:
    """One that takes longer than its period is followed by the next at once, and by one only."""
    go = tmp_path / "go"
    os.mkfifo(go)

    async def scenario(stage: Stage) -> None:
        asked = tmp_path / "asked"
        probe = {"action": {"kind": "exec", "command": ["sh", "-c", f"echo x >> {asked}; read go < {go}"]}}
        stage.start(containers=[shell(HOLD, readiness_probe={**probe, "timeout": 100.0, "period": 1.0})])
        await stage.happens(lambda: asked.exists())
        for _ in range(5):
            stage.clock.advance(1)
            await asyncio.sleep(0.01)
        assert asked.read_text() == "x\n"
        await asyncio.to_thread(go.write_text, "go\n")
        await stage.until(lambda event: container(event)["ready"])
        await stage.happens(lambda: asked.read_text() == "x\nx\n")
        await asyncio.to_thread(go.write_text, "go\n")
        await stage.happens(lambda: not stage.now_asking())
        assert asked.read_text() == "x\nx\n"

    play(tmp_path, scenario)


def test_what_an_exec_probe_says_and_sees(tmp_path: Path) -> None:
    """Its words are told up to a length; `$(VAR)` is expanded with what the pod gives as a value."""

    async def scenario(stage: Stage) -> None:
        env = [{"name": "A", "value": "a"}, {"name": "B", "value": "b", "literal": True}]
        script = "echo $(A)-$(B)-$(C)-$A-$$(A); seq 100000; exit 2"
        probe = {"action": {"kind": "exec", "command": ["sh", "-c", f"echo '{script}'; seq 100000 >&2; exit 2"]}}
        stage.start(containers=[shell(HOLD, env=env, readiness_probe=probe)])
        await stage.until(lambda _: stage.notes("Unhealthy"))
        (words,) = stage.notes("Unhealthy")
        assert words.startswith("Readiness probe failed: echo a-b-$(C)-$A-$(A); seq 100000; exit 2\n1\n2\n3\n")
        assert len(words) == 1024

    play(tmp_path, scenario)


def test_an_exec_probe_that_cannot_be_asked_does_not_count(tmp_path: Path) -> None:
    """As the kubelet does it: not even liveness ends a container for it."""

    async def scenario(stage: Stage) -> None:
        probe = {"action": {"kind": "exec", "command": ["no-such-program"]}, "failure_threshold": 1}
        stage.start(containers=[shell(HOLD, liveness_probe=probe)])
        await stage.until(lambda _: stage.notes("Unhealthy"))
        (words,) = stage.notes("Unhealthy")
        assert words.startswith("Liveness probe errored and resulted in unknown state: ")
        assert "no-such-program" in words or "not found" in words
        assert "running" in main_state(stage.now())

    play(tmp_path, scenario)


def test_a_pod_that_ends_is_only_asked_for_its_readiness(tmp_path: Path) -> None:
    """Kubernetes, "Pod Lifecycle": a pod may take itself out of service while it ends."""

    async def scenario(stage: Stage) -> None:
        liveness, readiness = (Asked(tmp_path, name) for name in ("liveness", "readiness"))
        for one in (liveness, readiness):
            one.good.touch()
        probes = {
            "liveness_probe": liveness.probe(failure_threshold=1),
            "readiness_probe": readiness.probe(failure_threshold=1),
        }
        stage.start(grace=600.0, containers=[shell(f"trap 'echo term' TERM; {HOLD}", **probes)])
        await stage.printed("up")
        await stage.until(lambda event: container(event)["ready"])
        await answered(stage, liveness, 1)
        stage.stop()
        await stage.printed("term")
        for one in (liveness, readiness):
            one.good.unlink()
        seen = len(stage.events)
        stage.clock.advance(10)
        await stage.until(lambda event: not container(event)["ready"], after=seen)
        assert liveness.times == 1
        stage.stop(grace=0)
        ended = await stage.ended()
        assert not container(ended)["ready"]
        assert not stage.clock.armed

    play(tmp_path, scenario)


def test_the_end_of_a_container_ends_its_probes(tmp_path: Path) -> None:
    """One that is being asked, too: neither process nor timer is left."""

    async def scenario(stage: Stage) -> None:
        pid = tmp_path / "pid"
        probe = {"action": {"kind": "exec", "command": ["sh", "-c", f"echo $$$$ > {pid}; exec sleep 1000"]}}
        main = f"until [ -s {pid} ]; do sleep 0.01; done"
        stage.start(containers=[shell(main, readiness_probe={**probe, "timeout": 500.0})])
        assert (await stage.ended())["phase"] == "Succeeded"
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)
        assert not stage.clock.armed

    play(tmp_path, scenario)


def test_notes_of_a_probe_that_always_fails_are_few(tmp_path: Path) -> None:
    """client-go's limit for the Events of an object: 25, then one in five minutes."""

    async def scenario(stage: Stage) -> None:
        asked = Asked(tmp_path)
        stage.start(containers=[shell(HOLD, readiness_probe=asked.probe(period=1.0))])
        for times in range(1, 41):
            await answered(stage, asked, times)
            stage.clock.advance(1)
        assert len(stage.notes("Unhealthy")) == 25
        assert len(stage.events) <= 28

    play(tmp_path, scenario)
