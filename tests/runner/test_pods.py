"""What becomes of a pod: the kubelet's semantics, with real programs and a clock that does not wait."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from farnode.runner.output.logs import select_log
from farnode.runner.runtime import Failure

from .stage import Stage, main_state, play, shell


@pytest.mark.parametrize(
    ("scripts", "phase", "ends"),
    [
        (["exit 0"], "Succeeded", [(0, "Completed")]),
        (["exit 7"], "Failed", [(7, "Error")]),
        (["exit 0", "exit 1"], "Failed", [(0, "Completed"), (1, "Error")]),
    ],
)
def test_containers_end_as_they_do(tmp_path: Path, scripts: list[str], phase: str, ends: list[tuple[int, str]]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell(script, f"c{i}") for i, script in enumerate(scripts)])
        ended = await stage.ended()
        assert ended["phase"] == phase
        found = [one["state"]["terminated"] for one in ended["containers"]]
        assert [(one["exitCode"], one["reason"]) for one in found] == ends

    play(tmp_path, scenario)


@pytest.mark.parametrize(("name", "code"), [("KILL", 137), ("TERM", 143)])
def test_an_end_by_signal_is_called_one_after_a_second(tmp_path: Path, name: str, code: int) -> None:
    """The runner may be about to hear that its allocation ends, which would be why."""

    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell(f"kill -{name} $$")])
        while not stage.clock.armed:
            await asyncio.sleep(0.005)
        stage.clock.advance(1.0)
        ended = await stage.ended()
        assert (ended["phase"], ended["containers"][0]["state"]["terminated"]["exitCode"]) == ("Failed", code)

    play(tmp_path, scenario)


def test_running_is_said_before_the_end(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell("exit 0")])
        await stage.ended()
        first, last = stage.events
        assert (first["phase"], first["ended"], first["containers"][0]["ready"]) == ("Running", False, True)
        assert [note["reason"] for note in first["notes"]] == ["Created", "Started"]
        assert last["logs"] == {"1.main.0.log": 0}
        assert last["containers"][0]["containerID"] == "farnode://u1/1/main/0"

    play(tmp_path, scenario)


def test_init_containers_run_in_order_before_the_others(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        volumes = [{"name": "v", "kind": "empty"}]
        mounts = [{"volume": "v", "path": "/v"}]
        inits = [shell(f"echo {i} >> $V_v/order", f"i{i}", mounts=mounts) for i in range(3)]
        stage.start(init_containers=inits, containers=[shell("cat $V_v/order", mounts=mounts)], volumes=volumes)
        ended = await stage.ended()
        assert ended["phase"] == "Succeeded"
        assert stage.log() == "0\n1\n2\n"
        pending = stage.events[0]
        assert pending["phase"] == "Pending"
        assert main_state(pending) == {"waiting": {"reason": "PodInitializing"}}

    play(tmp_path, scenario)


def test_a_failing_init_container_fails_a_pod_that_never_restarts(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(init_containers=[shell("exit 4", "init")], containers=[shell("exit 0")])
        ended = await stage.ended()
        assert ended["phase"] == "Failed"
        assert main_state(ended, kind="init_containers")["terminated"]["exitCode"] == 4
        assert "waiting" in main_state(ended)

    play(tmp_path, scenario)


@pytest.mark.parametrize("policy", ["OnFailure", "Always"])
def test_a_failing_init_container_is_restarted_until_it_succeeds(tmp_path: Path, policy: str) -> None:
    async def scenario(stage: Stage) -> None:
        mounts = [{"volume": "v", "path": "/v"}]
        init = shell("test -e $V_v/seen || { touch $V_v/seen; exit 1; }", "init", mounts=mounts)
        volumes = [{"name": "v", "kind": "empty"}]
        stage.start(restart_policy=policy, volumes=volumes, init_containers=[init], containers=[shell("sleep 1000")])
        event = await stage.until(lambda event: event["phase"] == "Running")
        assert event["init_containers"][0]["restartCount"] == 1

    play(tmp_path, scenario)


def waiting_after(restarts: int) -> Callable[[Any], bool]:
    return lambda event: event["containers"][0]["restartCount"] == restarts and "waiting" in main_state(event)


def test_crashes_are_backed_off_as_the_kubelet_does(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(restart_policy="OnFailure", containers=[shell("echo no; exit 1")], restarts={"main": 3})
        for restart, words in enumerate(["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"], start=4):
            seen = len(stage.events)
            event = await stage.until(waiting_after(restart))
            waiting = main_state(event)["waiting"]
            assert waiting["reason"] == "CrashLoopBackOff"
            assert waiting["message"] == f"back-off {words} restarting failed container=main pod=pod_ns(u1)"
            assert event["phase"] == "Running"
            assert event["containers"][0]["lastState"]["terminated"]["exitCode"] == 1
            minutes, _, seconds = words.rstrip("s").rpartition("m")
            stage.clock.advance(60 * int(minutes or 0) + int(seconds) - 0.5)
            assert len(stage.events) >= seen
            assert "waiting" in main_state(stage.events[-1])
            stage.clock.advance(0.5)
        assert sorted(path.name for path in (tmp_path / "pods/u1").iterdir()) == ["1.main.10.log", "1.main.9.log"]

    play(tmp_path, scenario)


def test_back_off_begins_anew_after_ten_minutes_of_running(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    async def scenario(stage: Stage) -> None:
        stage.start(restart_policy="Always", containers=[shell(f"read x < {fifo}; exit $x")])

        async def run_until_exit(restart: int) -> None:
            await stage.until(
                lambda event: event["containers"][0]["restartCount"] == restart and "running" in main_state(event)
            )
            await asyncio.to_thread(fifo.write_text, "1\n")

        await run_until_exit(0)
        await run_until_exit(1)
        await stage.until(lambda event: "waiting" in main_state(event))
        stage.clock.advance(10)
        await stage.until(lambda event: event["containers"][0]["restartCount"] == 2)
        stage.clock.advance(601)
        await run_until_exit(2)
        await run_until_exit(3)  # at once
        event = await stage.until(waiting_after(3))
        assert "back-off 10s" in main_state(event)["waiting"]["message"]

    play(tmp_path, scenario)


def test_a_stop_ends_a_back_off(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(restart_policy="Always", containers=[shell("exit 1")])
        await stage.until(lambda event: "waiting" in main_state(event))
        stage.stop()
        ended = await stage.ended()
        assert main_state(ended)["terminated"]["exitCode"] == 1
        assert (ended["phase"], ended["reason"]) == ("Failed", "")

    play(tmp_path, scenario)


def test_the_deadline_counts_from_the_start(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(deadline=60.0, containers=[shell("sleep 1000")])
        await stage.until(lambda event: event["phase"] == "Running")
        stage.clock.advance(59)
        assert not stage.events[-1]["ended"]
        stage.clock.advance(1)
        ended = await stage.ended()
        assert (ended["phase"], ended["reason"]) == ("Failed", "DeadlineExceeded")
        assert main_state(ended)["terminated"]["exitCode"] == 143

    play(tmp_path, scenario)


def test_what_ignores_sigterm_is_killed_after_the_grace_with_its_children(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell("trap '' TERM; sleep 1000 & echo pid $! ready; while :; do wait; done")])
        await stage.printed("ready")
        pid = int(stage.log().split()[1])
        stage.stop(reason="Preempted", message="someone else's turn")
        stage.clock.advance(4.9)
        await asyncio.sleep(0)
        assert not stage.events[-1]["ended"]
        stage.clock.advance(0.1)
        ended = await stage.ended()
        assert main_state(ended)["terminated"]["exitCode"] == 137
        assert (ended["phase"], ended["reason"], ended["message"]) == ("Failed", "Preempted", "someone else's turn")
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    play(tmp_path, scenario)


def test_a_later_stop_shortens_the_grace(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell("trap '' TERM; echo ready; while :; do sleep 1; done")])
        await stage.printed("ready")
        stage.stop(grace=1000.0)
        stage.stop(grace=0)
        assert main_state(await stage.ended())["terminated"]["exitCode"] == 137

    play(tmp_path, scenario)


@pytest.mark.parametrize("clean", ["", "env -i PATH=$PATH "])
def test_daemons_do_not_outlive_their_container(tmp_path: Path, clean: str) -> None:
    """They left the session twice; the second kind emptied its environment too."""

    async def scenario(stage: Stage) -> None:
        inner = "setsid sh -c 'echo \\$\\$; exec sleep 1000 >/dev/null 2>&1' &"
        stage.start(containers=[shell(f'{clean}setsid sh -c "{inner}"; while :; do sleep 0.01; done')])
        await stage.printed("\n")
        pid = int(stage.log())
        stage.stop()
        await stage.ended()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    play(tmp_path, scenario)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[{"name": "main", "command": ["no-such-program"]}])
        ended = await stage.ended()
        terminated = main_state(ended)["terminated"]
        assert (terminated["exitCode"], terminated["reason"]) == (128, "StartError")
        assert "no-such-program" in terminated["message"]
        assert ended["phase"] == "Failed"

    play(tmp_path, scenario)


def test_the_failure_of_a_runtime_is_not_the_programs(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.runtime.fail = Failure("ContainerCannotRun", "no such image")
        stage.start(containers=[shell("exit 255")])
        terminated = main_state(await stage.ended())["terminated"]
        assert (terminated["exitCode"], terminated["reason"]) == (128, "ContainerCannotRun")
        assert terminated["message"] == "no such image"

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"runtime": "docker"}, "no runtime 'docker' on here; what works there: plain"),
        ({"volumes": [{"name": "v", "kind": "files", "files": [{"path": "../x", "mode": 0, "data": ""}]}]}, "'../x'"),
        ({"volumes": [{"name": "v", "kind": "nfs"}]}, "kind 'nfs'"),
        ({"gpus": 3}, "Requested: 3, Available: 0"),
    ],
)
def test_what_cannot_run_says_why(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell("exit 0")], **fields)
        ended = await stage.ended()
        assert ended["phase"] == "Failed"
        assert words in ended["message"]

    play(tmp_path, scenario)


def test_last_words(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        fallback = {"termination_message_policy": "FallbackToLogsOnError"}
        stage.start(
            containers=[
                shell("echo bye > $LAST_WORDS", "file"),
                shell("seq 100; exit 1", "log", **fallback),
                shell("echo fine", "well", **fallback),
            ]
        )
        words = [one["state"]["terminated"].get("message") for one in (await stage.ended())["containers"]]
        assert words == ["bye\n", "".join(f"{i}\n" for i in range(21, 101)), None]

    play(tmp_path, scenario)


def test_volumes_with_files(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        data = base64.b64encode(b"in a file\n").decode()
        volumes = [{"name": "v", "kind": "files", "files": [{"path": "a/b", "mode": 0o400, "data": data}]}]
        mounts = [{"volume": "v", "path": "/v"}, {"volume": "v", "path": "/one", "sub_path": "a/b"}]
        stage.start(volumes=volumes, containers=[shell("cat $V_v/a/b $V_one; stat -c %a $V_one", mounts=mounts)])
        await stage.ended()
        assert stage.log() == "in a file\nin a file\n400\n"

    play(tmp_path, scenario)


def test_environment_and_arguments(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        env = [
            {"name": "A", "value": "a"},
            {"name": "B", "value": "$(A)$$(A)$(NONE)"},
            {"name": "C", "value": "$(A)", "literal": True},
            {"name": "IP", "field": "status.hostIP"},
        ]
        image = {"entrypoint": ["printf", "%s\\n"], "cmd": ["unused"], "env": ["A=image", "D=d"]}
        args = ["$(B)", "$(C)", "$(IP)", "$(D)"]
        stage.start(containers=[{"name": "main", "image": image, "args": args, "env": env}])
        await stage.ended()
        assert stage.log() == "a$(A)$(NONE)\n$(A)\n192.0.2.7\n$(D)\n"

    play(tmp_path, scenario)


def test_an_attempt_starts_once(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell(f"echo x >> {tmp_path}/runs")])
        await stage.ended()
        seen = len(stage.events)
        stage.start(containers=[shell(f"echo x >> {tmp_path}/runs")])
        assert (await stage.until(lambda event: event["ended"], after=seen))["phase"] == "Succeeded"
        assert (tmp_path / "runs").read_text() == "x\n"

    play(tmp_path, scenario)


def test_a_newer_attempt_waits_for_the_end_of_the_older(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell("trap '' TERM; echo ready; while :; do sleep 1; done")])
        await stage.printed("ready")
        stage.start(attempt=2, containers=[shell("exit 0")])
        newer = await stage.ended(attempt=2)
        older = await stage.ended(attempt=1)
        assert (older["phase"], older["reason"]) == ("Failed", "Superseded")
        assert newer["phase"] == "Succeeded"
        assert stage.events.index(older) < stage.events.index(
            next(event for event in stage.events if event["attempt"] == 2)
        )
        stage.start(attempt=0, containers=[shell("exit 0")])
        assert (await stage.ended(attempt=0))["reason"] == "Superseded"

    play(tmp_path, scenario)


def test_a_stop_overtakes_the_start(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell("exit 0")])
        stage.stop()
        ended = await stage.ended()
        assert (ended["phase"], ended["containers"], "started_at" in ended) == ("Failed", [], False)

    play(tmp_path, scenario)


def test_a_stop_of_what_is_not_there_is_answered(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.stop()
        assert (await stage.ended())["phase"] == "Failed"

    play(tmp_path, scenario)


def test_forgotten_attempts(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell("exit 0")])
        stage.roster.forget("u1", 1)  # not yet: it runs
        await stage.ended()
        assert stage.roster.held() == [{"uid": "u1", "attempt": 1, "ended": True, "inputs": 0}]
        stage.roster.forget("u1", 1)
        assert stage.roster.held() == []

    play(tmp_path, scenario)


def test_gpus_are_lent_exclusively_and_come_back(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        print_them = "echo $GPUS; sleep 1000"
        containers = [shell(print_them, "main", gpus=1), shell(print_them, "other", gpus=2), shell("true", "none")]
        stage.start(init_containers=[shell("echo $GPUS", "init", gpus=3)], containers=containers, gpus=3)
        await stage.printed("\n", "other")
        await stage.printed("\n", "main")
        assert [stage.log(name) for name in ("init", "main", "other")] == ["g0,g1,g2\n", "g0\n", "g1,g2\n"]
        assert stage.events[-1]["gpus"] == ["g0", "g1", "g2"]
        stage.start(uid="u2", containers=[shell("echo", gpus=2)], gpus=2)
        assert (await stage.ended("u2"))["reason"] == "UnexpectedAdmissionError"
        stage.stop()
        await stage.ended()
        stage.start(uid="u3", containers=[shell("echo", gpus=2)], gpus=2)
        assert (await stage.ended("u3"))["phase"] == "Succeeded"

    play(tmp_path, scenario, ["g0", "g1", "g2", "g3"])


def test_a_runner_that_ends_starts_nothing(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.roster.end(0, "AllocationEnding", "walltime")
        stage.start(containers=[shell("exit 0")])
        ended = await stage.ended()
        assert (ended["phase"], ended["reason"]) == ("Failed", "AllocationEnding")
        assert "started_at" not in ended
        assert not (tmp_path / "pods").exists()

    play(tmp_path, scenario)


def test_a_fault_of_the_runner_lets_no_program_live(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        probe: Any = {"action": {"kind": "exec", "command": ["true"]}, "period": None}
        stage.start(containers=[shell("exec sleep 1000", readiness_probe=probe)])
        assert (await stage.ended())["reason"] == "RunnerError"
        assert not stage.children.pids

    play(tmp_path, scenario)


def test_what_cannot_be_logged_is_lost_and_said_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log, fifo = tmp_path / "pods/u1/1.main.0.log", tmp_path / "fifo"
    log.mkdir(parents=True)
    os.mkfifo(fifo)

    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell(f"echo lost; read x < {fifo}; echo kept; exit 3")])
        await stage.happens(lambda: "output is lost" in caplog.text)
        log.rmdir()
        await asyncio.to_thread(fifo.write_text, "1\n")
        ended = await stage.ended()
        assert main_state(ended)["terminated"]["exitCode"] == 3
        assert (stage.log(), ended["logs"]) == ("kept\n", {log.name: log.stat().st_size})
        assert f"{log}: output is lost: [Errno 21] Is a directory" in caplog.text

    play(tmp_path, scenario)


def test_who_prints_nothing_has_an_empty_log_and_no_file(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell("exit 1", termination_message_policy="FallbackToLogsOnError")])
        ended = await stage.ended()
        assert ended["logs"] == {"1.main.0.log": 0}
        assert "message" not in main_state(ended)["terminated"]
        assert not (tmp_path / "pods").exists()

    play(tmp_path, scenario)


def test_the_log_before_is_not_that_of_a_run_whose_post_start_hook_goes_on(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        script = f"test -e {tmp_path}/again && {{ echo two; exec sleep 1000; }}; echo one; touch {tmp_path}/again"
        hook: Any = {"kind": "sleep", "seconds": 60.0}
        stage.start(restart_policy="Always", containers=[shell(script, post_start=hook)])
        await stage.happens(lambda: len(stage._logs("main")) == 2)
        await stage.printed("two")
        pod = stage.roster.get("u1", 1)
        assert pod is not None
        assert select_log(pod, "main", previous=True) is pod.containers[0].logs[0]

    play(tmp_path, scenario)


def test_what_begins_while_something_is_removed_is_waited_for_too(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        async def slow(removal: Callable[[], Awaitable[None]]) -> None:
            await removal()
            stage.start(uid="u2", containers=[shell("sleep 0.1")])

        stage.start(containers=[shell("touch left")])
        pod = stage.roster.get("u1", 1)
        pod.remove = partial(slow, pod.remove)  # type: ignore[union-attr,method-assign]
        await stage.roster.empty()
        assert stage.roster.idle
        assert (await stage.ended("u2"))["phase"] == "Succeeded"

    play(tmp_path, scenario)
