"""Restartable init containers, as Kubernetes' "Sidecar Containers" and the kubelet have them.

https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from .stage import Stage, main_state, play, shell

HOLD = "echo up; while :; do sleep 0.01; done"
VOLUME: dict[str, Any] = {"volumes": [{"name": "v", "kind": "empty"}]}
MOUNTS = [{"volume": "v", "path": "/v"}]


def sidecar(script: str, name: str = "side", **fields: Any) -> dict[str, Any]:
    return shell(script, name, sidecar=True, mounts=MOUNTS, **fields)


def writes_its_end(name: str) -> str:
    return f"trap 'echo {name} >> $V_v/ends; exit 3' TERM; {HOLD}"


def state_of(event: Any, name: str) -> Any:
    return next(one for one in event["init_containers"] + event["containers"] if one["name"] == name)


def side_state(event: Any) -> Any:
    return state_of(event, "side")["state"]


def fifo(directory: Path) -> Path:
    """What a container can be made to wait at."""
    os.mkfifo(directory / "go")
    return directory / "go"


def test_a_sidecar_starts_in_its_turn_and_runs_beside_the_others(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        inits = [
            shell("echo first >> $V_v/order", "first", mounts=MOUNTS),
            sidecar(f"echo side >> $V_v/order; {HOLD}"),
            shell("until grep -q side $V_v/order; do sleep 0.01; done; echo last >> $V_v/order", "last", mounts=MOUNTS),
        ]
        stage.start(init_containers=inits, containers=[shell("cat $V_v/order", mounts=MOUNTS)], **VOLUME)
        running = await stage.until(lambda event: event["phase"] == "Running")
        side = state_of(running, "side")
        assert (side["ready"], side["started"], "running" in side["state"]) == (True, True, True)
        assert state_of(running, "first")["ready"]
        ended = await stage.ended()
        assert ended["phase"] == "Succeeded"
        assert stage.log() == "first\nside\nlast\n"

    play(tmp_path, scenario)


@pytest.mark.parametrize("policy", ["Never", "OnFailure"])
def test_a_sidecar_keeps_no_pod_alive_and_its_exit_code_does_not_count(tmp_path: Path, policy: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(
            restart_policy=policy,
            init_containers=[sidecar(f"trap 'exit 3' TERM; {HOLD}")],
            containers=[shell("while ! grep -q up $LOG; do sleep 0.01; done", env=log_of("side", tmp_path))],
            **VOLUME,
        )
        ended = await stage.ended()
        assert ended["phase"] == "Succeeded"
        assert state_of(ended, "side")["state"]["terminated"]["exitCode"] == 3
        assert stage.notes("Killing") == ["Stopping container side"]

    play(tmp_path, scenario)


def log_of(name: str, directory: Path) -> list[dict[str, Any]]:
    return [{"name": "LOG", "value": f"{directory}/pods/u1/1.{name}.0.log", "literal": True}]


@pytest.mark.parametrize("how", ["completion", "deletion"])
def test_sidecars_end_in_reverse_order_after_the_others(tmp_path: Path, how: str) -> None:
    """Kubernetes, "Pod Lifecycle", Pod shutdown and sidecar containers."""

    go = fifo(tmp_path)

    async def scenario(stage: Stage) -> None:
        inits = [sidecar(writes_its_end(name), name) for name in ("one", "two", "three")]
        main = "trap 'sleep 0.2; echo main >> $V_v/ends; exit 0' TERM; " + HOLD
        if how == "completion":
            main = f"echo up; read go < {go}; echo main >> $V_v/ends"
        keeper = shell(f"trap 'cat $V_v/ends; exit 0' TERM; {HOLD}", "keeper", sidecar=True, mounts=MOUNTS)
        stage.start(init_containers=[keeper, *inits], containers=[shell(main, mounts=MOUNTS)], **VOLUME)
        for name in ("keeper", "one", "two", "three", "main"):
            await stage.printed("up", name)
        if how == "completion":
            await asyncio.to_thread(go.write_text, "\n")
        else:
            stage.stop()
        ended = await stage.ended()
        assert stage.log("keeper") == "up\nmain\nthree\ntwo\none\n"
        assert ended["phase"] == "Succeeded"

    play(tmp_path, scenario)


def test_a_sidecar_restarts_while_later_init_containers_run(tmp_path: Path) -> None:
    """Also where the pod's policy is Never; the next init container does not wait for it again."""

    go = fifo(tmp_path)

    async def scenario(stage: Stage) -> None:
        side = sidecar(f"if [ ! -e $V_v/again ]; then touch $V_v/again; exit 1; fi; {HOLD}")
        wait = f"while [ ! -e $V_v/again ]; do sleep 0.01; done; echo up; read go < {go}"
        inits = [side, shell(wait, "wait", mounts=MOUNTS)]
        stage.start(init_containers=inits, containers=[shell("exit 0")], **VOLUME)
        event = await stage.until(lambda event: state_of(event, "side")["restartCount"] == 1)
        assert event["phase"] == "Pending"
        await stage.printed("up", "side")
        await stage.printed("up", "wait")
        await asyncio.to_thread(go.write_text, "\n")
        ended = await stage.ended()
        assert (ended["phase"], state_of(ended, "side")["restartCount"]) == ("Succeeded", 1)

    play(tmp_path, scenario)


def test_a_sidecar_that_crashes_is_backed_off_and_given_up_when_the_pod_is_done(tmp_path: Path) -> None:
    go = fifo(tmp_path)

    async def scenario(stage: Stage) -> None:
        stage.start(init_containers=[sidecar("exit 0")], containers=[shell(f"read go < {go}")], **VOLUME)
        event = await stage.until(lambda event: event["phase"] == "Running" and "waiting" in side_state(event))
        assert side_state(event)["waiting"]["reason"] == "CrashLoopBackOff"
        assert not state_of(event, "side")["ready"]
        await asyncio.to_thread(go.write_text, "\n")
        ended = await stage.ended()
        assert ended["phase"] == "Succeeded"
        assert state_of(ended, "side")["state"]["terminated"]["exitCode"] == 0
        assert not stage.clock.armed

    play(tmp_path, scenario)


def test_the_next_container_waits_for_the_startup_probe_of_a_sidecar(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        flag = tmp_path / "flag"
        probe = {
            "action": {"kind": "exec", "command": ["test", "-e", str(flag)]},
            "period": 1.0,
            "failure_threshold": 9,
        }
        inits = [sidecar(HOLD, startup_probe=probe), shell("exit 0", "next")]
        stage.start(init_containers=inits, containers=[shell("exit 0")], **VOLUME)
        event = await stage.until(lambda event: "running" in main_state(event, kind="init_containers"))
        side = state_of(event, "side")
        assert (side["started"], side["ready"], event["phase"]) == (False, False, "Pending")
        await stage.until(lambda _: stage.notes("Unhealthy"))
        assert state_of(stage.events[-1], "next")["state"] == {"waiting": {"reason": "PodInitializing"}}
        flag.touch()
        stage.clock.advance(1)
        assert (await stage.ended())["phase"] == "Succeeded"

    play(tmp_path, scenario)


def test_the_next_container_waits_for_the_hook_of_a_sidecar(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        hook = {"kind": "sleep", "seconds": 7.0}
        inits = [sidecar(HOLD, post_start=hook), shell("exit 0", "next")]
        stage.start(init_containers=inits, containers=[shell("exit 0")], **VOLUME)
        await stage.printed("up", "side")
        await stage.happens(lambda: stage.clock.armed)
        stage.clock.advance(6.9)
        assert "waiting" in state_of(stage.now(), "side")["state"]
        stage.clock.advance(0.1)
        assert (await stage.ended())["phase"] == "Succeeded"

    play(tmp_path, scenario)


def test_a_pod_is_stopped_while_it_waits_for_a_sidecar(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        probe = {"action": {"kind": "exec", "command": ["false"]}, "period": 1.0, "failure_threshold": 900}
        stage.start(init_containers=[sidecar(HOLD, startup_probe=probe)], containers=[shell("exit 0")], **VOLUME)
        await stage.until(lambda _: stage.notes("Unhealthy"))
        stage.stop()
        ended = await stage.ended()
        assert (ended["phase"], state_of(ended, "side")["state"]["terminated"]["exitCode"]) == ("Failed", 143)
        assert state_of(ended, "main")["state"] == {"waiting": {"reason": "PodInitializing"}}
        assert not stage.clock.armed

    play(tmp_path, scenario)


def test_an_init_container_that_fails_for_good_ends_the_sidecars(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        inits = [sidecar(HOLD), shell("exit 4", "init")]
        stage.start(init_containers=inits, containers=[shell("exit 0")], **VOLUME)
        ended = await stage.ended()
        assert ended["phase"] == "Failed"
        assert state_of(ended, "init")["state"]["terminated"]["exitCode"] == 4
        assert state_of(ended, "side")["state"]["terminated"]["exitCode"] == 143

    play(tmp_path, scenario)


def test_one_grace_period_for_all(tmp_path: Path) -> None:
    """Used up by the first, it leaves each of the others the kubelet's two seconds between SIGTERM and SIGKILL."""

    async def scenario(stage: Stage) -> None:
        stubborn = f"trap 'echo term' TERM; {HOLD}"
        inits = [sidecar(stubborn, "one"), sidecar(stubborn, "two")]
        stage.start(grace=30.0, init_containers=inits, containers=[shell(stubborn)], **VOLUME)
        for name in ("one", "two", "main"):
            await stage.printed("up", name)
        stage.stop()
        await stage.printed("term")
        stage.clock.advance(29.9)
        assert "term" not in stage.log("two")
        stage.clock.advance(0.1)
        await stage.printed("term", "one")
        await stage.printed("term", "two")
        stage.clock.advance(2)
        ended = await stage.ended()
        codes = [state_of(ended, name)["state"]["terminated"]["exitCode"] for name in ("one", "two", "main")]
        assert codes == [137, 137, 137]

    play(tmp_path, scenario)


def test_what_completed_does_not_fail_while_its_sidecars_end(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        inits = [sidecar(f"trap 'echo term' TERM; {HOLD}")]
        main = shell("while ! grep -q up $LOG; do sleep 0.01; done", env=log_of("side", tmp_path))
        stage.start(grace=600.0, init_containers=inits, containers=[main], **VOLUME)
        await stage.printed("term", "side")
        stage.stop(grace=3.0, reason="Preempted", message="someone else's turn")
        stage.clock.advance(3)
        ended = await stage.ended()
        assert (ended["phase"], ended["reason"]) == ("Succeeded", "")

    play(tmp_path, scenario)


def test_a_sidecar_keeps_its_gpus(tmp_path: Path) -> None:
    """Kubernetes, "Sidecar Containers", Resource sharing within containers: here 1 + max(2, 1 + 1) = 3."""

    async def scenario(stage: Stage) -> None:
        print_them = "echo $GPUS up; while :; do sleep 0.01; done"
        inits = [
            shell("echo $GPUS", "before", gpus=2),
            sidecar(print_them, gpus=1),
            shell("echo $GPUS", "init", gpus=2),
        ]
        containers = [shell(print_them, gpus=1), shell(print_them, "other", gpus=1)]
        stage.start(init_containers=inits, containers=containers, **VOLUME)
        for name in ("side", "main", "other"):
            await stage.printed("up", name)
        names = ("before", "side", "init", "main", "other")
        assert [stage.log(name).split()[0] for name in names] == ["g0,g1", "g0", "g1,g2", "g1", "g2"]
        assert stage.events[-1]["gpus"] == ["g0", "g1", "g2"]

    play(tmp_path, scenario, ["g0", "g1", "g2", "g3"])
