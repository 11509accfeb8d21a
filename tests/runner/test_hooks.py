"""postStart and preStop, as Kubernetes' "Container Lifecycle Hooks" and the kubelet have them.

https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from farnode.runner.pods.signals import stop_signal

from .stage import Stage, main_state, play, shell

HOLD = "echo up; while :; do sleep 0.01; done"


def command(script: str) -> dict[str, Any]:
    return {"kind": "exec", "command": ["sh", "-c", script]}


def sleep(seconds: float) -> dict[str, Any]:
    return {"kind": "sleep", "seconds": seconds}


def test_a_container_is_not_running_before_its_post_start_hook_is_done(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        readiness = {"action": command("exit 0"), "period": 1.0}
        stage.start(containers=[shell(HOLD, post_start=sleep(5.0), readiness_probe=readiness)])
        await stage.printed("up")
        await stage.happens(lambda: stage.clock.armed)
        stage.clock.advance(4.9)
        status = stage.now()["containers"][0]
        assert status["state"] == {"waiting": {"reason": "ContainerCreating"}}
        assert (status["started"], status["ready"], stage.now_asking()) == (False, False, False)
        stage.clock.advance(0.1)
        event = await stage.until(lambda event: event["phase"] == "Running")
        assert event["containers"][0]["started"]
        await stage.until(lambda event: event["containers"][0]["ready"])

    play(tmp_path, scenario)


def test_the_next_container_starts_after_the_post_start_hook_of_the_one_before(tmp_path: Path) -> None:
    """As the kubelet starts them: one after the other. That the hook fails does not stop the next."""

    async def scenario(stage: Stage) -> None:
        first = shell(HOLD, "first", post_start=sleep(5.0))
        second = shell(HOLD, "second", post_start=command("exit 1"), restart_policy="Never")
        stage.start(containers=[first, second, shell("exit 0")])
        await stage.printed("up", "first")
        await stage.happens(lambda: stage.clock.armed)
        assert not stage._logs("second")
        stage.clock.advance(5)
        ended = await stage.until(lambda event: "terminated" in main_state(event, 2))
        assert "terminated" in main_state(ended, 1)

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    "hook",
    [
        command("echo secret; exit 1"),
        {"kind": "exec", "command": ["no-such-program"]},
        {"kind": "http", "port": 1, "path": "/", "scheme": "HTTP"},
        {"kind": "beam"},
    ],
    ids=["exit 1", "no program", "nobody listens", "unknown"],
)
def test_a_post_start_hook_that_fails_ends_the_container(tmp_path: Path, hook: dict[str, Any]) -> None:
    """Which is restarted by its policy; what the hook said is not told, it may be a secret."""

    async def scenario(stage: Stage) -> None:
        main = shell(
            f"trap 'echo term; exit 7' TERM; {HOLD}", post_start=hook, pre_stop=command(f"echo x > {tmp_path}/pre")
        )
        stage.start(containers=[main])
        ended = await stage.ended()
        assert ended["phase"] == "Failed"
        assert main_state(ended)["terminated"]["exitCode"] in (7, 143)  # the hook may fail before the trap is set
        assert stage.notes("FailedPostStartHook") == ["PostStartHook failed"]
        assert stage.notes("Killing") == ["FailedPostStartHook"]
        assert (tmp_path / "pre").exists()
        assert all("running" not in main_state(event) for event in stage.events if event["containers"])

    play(tmp_path, scenario)


def test_a_post_start_hook_that_fails_again_and_again_is_backed_off(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(restart_policy="Always", containers=[shell(HOLD, post_start=command("exit 1"))])
        event = await stage.until(lambda event: event["containers"][0]["restartCount"] == 1 and stage.clock.armed)
        event = await stage.until(
            lambda event: main_state(event).get("waiting", {}).get("reason") == "CrashLoopBackOff"
        )
        status = event["containers"][0]
        assert (status["restartCount"], status["lastState"]["terminated"]["exitCode"]) == (1, 143)
        assert status["lastState"]["terminated"]["containerID"] == "farnode://u1/1/main/1"
        stage.clock.advance(10)
        await stage.happens(lambda: stage.now()["containers"][0]["restartCount"] == 2)
        status = stage.now()["containers"][0]
        assert status["state"] == {"waiting": {"reason": "ContainerCreating"}}
        assert status["lastState"]["terminated"]["containerID"] == "farnode://u1/1/main/1"

    play(tmp_path, scenario)


def test_a_container_that_ends_during_its_post_start_hook(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(
            containers=[shell("exit 3", post_start=command("exec sleep 1000"), pre_stop=command("touch /never"))]
        )
        ended = await stage.ended()
        assert main_state(ended)["terminated"]["exitCode"] == 3
        assert (stage.notes("FailedPostStartHook"), stage.notes("Killing")) == (["PostStartHook failed"], [])

    play(tmp_path, scenario)


def test_a_pod_is_stopped_during_a_post_start_hook(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        pid = tmp_path / "pid"
        stage.start(containers=[shell(HOLD, post_start=command(f"echo $$ > {pid}; exec sleep 1000")), shell("", "two")])
        await stage.happens(lambda: pid.exists() and pid.read_text())
        stage.stop()
        ended = await stage.ended()
        assert main_state(ended)["terminated"]["exitCode"] == 143
        assert "waiting" in main_state(ended, 1)
        assert stage.notes("FailedPostStartHook") == []
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)
        assert not stage.clock.armed

    play(tmp_path, scenario)


def test_pre_stop_comes_before_the_signal(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        seen = tmp_path / "seen"
        main = shell(
            f"trap 'echo term >> {seen}; exit 0' TERM; {HOLD}", pre_stop=command(f"sleep 0.1; echo hook >> {seen}")
        )
        stage.start(containers=[main])
        await stage.printed("up")
        stage.stop()
        assert (await stage.ended())["phase"] == "Succeeded"
        assert seen.read_text() == "hook\nterm\n"
        assert stage.notes("FailedPreStopHook") == []

    play(tmp_path, scenario)


@pytest.mark.parametrize("hook", [command("echo secret; exit 1"), {"kind": "http", "port": 1, "path": "/"}])
def test_a_pre_stop_hook_that_fails_is_told_and_the_signal_follows(tmp_path: Path, hook: dict[str, Any]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell(f"trap 'exit 0' TERM; {HOLD}", pre_stop=hook)])
        await stage.printed("up")
        stage.stop()
        assert (await stage.ended())["phase"] == "Succeeded"
        assert stage.notes("FailedPreStopHook") == ["PreStopHook failed"]

    play(tmp_path, scenario)


def test_hook_and_signal_share_the_grace_period(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(grace=30.0, containers=[shell(f"trap 'echo term' TERM; {HOLD}", pre_stop=sleep(20.0))])
        await stage.printed("up")
        stage.stop()
        await stage.calm()
        stage.clock.advance(19.9)
        assert "term" not in stage.log()
        stage.clock.advance(0.1)
        await stage.printed("term")
        stage.clock.advance(9.9)
        assert "running" in main_state(stage.now())
        stage.clock.advance(0.1)
        assert main_state(await stage.ended())["terminated"]["exitCode"] == 137

    play(tmp_path, scenario)


@pytest.mark.parametrize("code", ["exec sleep 1000", "while :; do sleep 0.01; done"])
def test_a_hook_that_takes_the_whole_grace_leaves_two_seconds(tmp_path: Path, code: str) -> None:
    """The kubelet's minimum between SIGTERM and SIGKILL."""

    async def scenario(stage: Stage) -> None:
        main = shell(f"trap 'echo term' TERM; {HOLD}", pre_stop=command(f"touch {tmp_path}/hook; {code}"))
        stage.start(containers=[main])
        await stage.printed("up")
        stage.stop()
        await stage.happens(lambda: (tmp_path / "hook").exists())
        stage.clock.advance(5)
        await stage.printed("term")
        assert stage.notes("FailedPreStopHook") == [] or stage.notes("FailedPreStopHook") == ["PreStopHook failed"]
        stage.clock.advance(1.9)
        assert "running" in main_state(stage.now())
        stage.clock.advance(0.1)
        assert main_state(await stage.ended())["terminated"]["exitCode"] == 137
        assert stage.notes("FailedPreStopHook") == ["PreStopHook failed"]

    play(tmp_path, scenario)


def test_a_container_that_ends_by_itself_gets_no_pre_stop(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell("exit 0", pre_stop=command(f"touch {tmp_path}/hook"))])
        assert (await stage.ended())["phase"] == "Succeeded"
        assert not (tmp_path / "hook").exists()

    play(tmp_path, scenario)


def test_a_grace_of_nothing_knows_no_hook(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell(f"trap '' TERM; {HOLD}", pre_stop=command(f"touch {tmp_path}/hook"))])
        await stage.printed("up")
        stage.stop(grace=0)
        assert main_state(await stage.ended())["terminated"]["exitCode"] == 137
        assert not (tmp_path / "hook").exists()

    play(tmp_path, scenario)


def test_a_stop_that_is_shortened_during_the_hook(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(grace=600.0, containers=[shell(f"trap 'echo term; exit 0' TERM; {HOLD}", pre_stop=sleep(500.0))])
        await stage.printed("up")
        stage.stop()
        await stage.calm()
        stage.clock.advance(100)
        stage.stop(grace=10.0)
        stage.clock.advance(9.9)
        assert "term" not in stage.log()
        stage.clock.advance(0.1)
        assert (await stage.ended())["phase"] == "Succeeded"
        assert "term" in stage.log()
        assert stage.notes("FailedPreStopHook") == []  # it was cut short
        assert not stage.clock.armed

    play(tmp_path, scenario)


def test_liveness_runs_pre_stop_too(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        liveness = {"action": command("exit 1"), "failure_threshold": 1}
        stage.start(containers=[shell(HOLD, liveness_probe=liveness, pre_stop=command(f"touch {tmp_path}/hook"))])
        assert main_state(await stage.ended())["terminated"]["exitCode"] == 143
        assert (tmp_path / "hook").exists()

    play(tmp_path, scenario)


def test_the_deadline_counts_during_a_hook(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(deadline=10.0, containers=[shell(HOLD, post_start=sleep(100.0))])
        await stage.printed("up")
        stage.clock.advance(10)
        assert (await stage.ended())["reason"] == "DeadlineExceeded"
        assert not stage.clock.armed

    play(tmp_path, scenario)


def test_the_stop_signal_of_a_container(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        script = f"trap '' TERM; trap 'echo usr1; exit 0' USR1; {HOLD}"
        image = {"stop_signal": "SIGUSR1"}
        stage.start(containers=[shell(script, stop_signal="SIGUSR1"), shell(script, "other", image=image)])
        await stage.printed("up")
        await stage.printed("up", "other")
        stage.stop()
        assert (await stage.ended())["phase"] == "Succeeded"
        assert stage.log() == stage.log("other") == "up\nusr1\n"

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("own", "image", "number"),
    [
        ("", "", 15),
        ("", "SIGQUIT", 3),
        ("SIGUSR1", "SIGQUIT", 10),
        ("", "usr2", 12),
        ("", "9", 9),
        ("", "SIGRTMIN+3", 37),
        ("", "SIGNONSENSE", 15),
        ("", "999", 15),
        ("", "SIGRTMIN+999", 15),
    ],
)
def test_names_of_stop_signals(own: str, image: str, number: int) -> None:
    assert stop_signal({"stop_signal": own, "image": {"stop_signal": image}}) == number
