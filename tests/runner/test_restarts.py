"""Which container runs again: policies and rules of its own, hundreds of runs, and what a pod is taken away for.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restarts
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from farnode.runner.pods.phase import restart_policy, restarts
from farnode.runner.pods.sharing import gpus_needed, shared

from .stage import Stage, main_state, play, shell


@pytest.mark.parametrize(
    ("policy", "rules", "code", "again"),
    [
        ("Never", [("In", [42])], 42, True),
        ("Never", [("In", [42])], 1, False),
        ("Never", [("NotIn", [1])], 42, True),
        ("Never", [("NotIn", [1])], 1, False),
        ("Never", [("In", [1]), ("In", [2])], 2, True),
        ("Never", [("In", [0])], 0, True),
        ("OnFailure", [("In", [42])], 1, True),
        ("OnFailure", [("In", [42])], 0, False),
        ("Always", [("In", [42])], 0, True),
    ],
)
def test_rules(policy: str, rules: list[tuple[str, list[int]]], code: int, again: bool) -> None:
    """Individual container restart policy and rules: one that matches restarts, else the policy is asked."""
    assert restarts(policy, code, [{"operator": operator, "codes": codes} for operator, codes in rules]) is again


@pytest.mark.parametrize(
    ("own", "pod", "policy"),
    [
        ({}, "OnFailure", "OnFailure"),
        ({"restart_policy": "Never"}, "Always", "Never"),
        ({"sidecar": True}, "Never", "Always"),
    ],
)
def test_whose_policy_counts(own: Any, pod: str, policy: str) -> None:
    assert restart_policy(own, pod) == policy


def test_a_container_with_a_policy_of_its_own(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        again = f"test -e {tmp_path}/again || {{ touch {tmp_path}/again; exit 42; }}; exit 7"
        rules = [{"operator": "In", "codes": [42]}]
        containers = [
            shell(again, restart_policy="Never", restart_rules=rules),
            shell("exit 0", "other", restart_policy="Never"),
        ]
        stage.start(restart_policy="Always", containers=containers)
        ended = await stage.ended()
        assert (ended["phase"], main_state(ended)["terminated"]["exitCode"]) == ("Failed", 7)
        assert [one["restartCount"] for one in ended["containers"]] == [1, 0]

    play(tmp_path, scenario)


def test_an_init_container_with_a_policy_of_its_own(tmp_path: Path) -> None:
    """Its success is its end, whatever its rules say of the code 0."""

    async def scenario(stage: Stage) -> None:
        again = f"test -e {tmp_path}/again || {{ touch {tmp_path}/again; exit 42; }}"
        rules = [{"operator": "In", "codes": [0, 42]}]
        init = shell(again, "init", restart_policy="Never", restart_rules=rules)
        stage.start(init_containers=[init], containers=[shell("exit 0")])
        ended = await stage.ended()
        assert (ended["phase"], ended["init_containers"][0]["restartCount"]) == ("Succeeded", 1)
        assert ended["init_containers"][0]["ready"]

    play(tmp_path, scenario)


def test_an_init_container_that_is_never_restarted_fails_its_pod(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        init = shell("exit 1", "init", restart_policy="Never")
        stage.start(restart_policy="Always", init_containers=[init], containers=[shell("exit 0")])
        assert (await stage.ended())["phase"] == "Failed"

    play(tmp_path, scenario)


def test_an_evicted_pod(tmp_path: Path) -> None:
    """The kubelet's eviction: Failed, with little grace."""

    async def scenario(stage: Stage) -> None:
        stage.start(grace=600.0, containers=[shell("trap 'echo term' TERM; echo up; while :; do sleep 0.01; done")])
        await stage.printed("up")
        pod = stage.roster.get("u1", 1)
        assert pod is not None
        pod.evict("it took too much")
        await stage.printed("term")
        stage.clock.advance(2)
        ended = await stage.ended()
        assert (ended["phase"], ended["reason"], ended["message"]) == ("Failed", "Evicted", "it took too much")

    play(tmp_path, scenario)


@pytest.mark.parametrize(("longest", "seconds"), [(1.0, 1.0), (600.0, 5.0)])
def test_the_end_of_an_allocation_waits_for_nobody(tmp_path: Path, longest: float, seconds: float) -> None:
    """Its own grace, or what is left: not a moment more, hooks or not."""

    async def scenario(stage: Stage) -> None:
        pre_stop = {"kind": "sleep", "seconds": 100.0}
        stage.start(containers=[shell("trap '' TERM; echo up; while :; do sleep 0.01; done", pre_stop=pre_stop)])
        await stage.printed("up")
        stage.roster.end(longest, "AllocationEnding", "walltime")
        await stage.calm()
        stage.clock.advance(seconds)
        await stage.calm()
        stage.clock.advance(0)
        ended = await stage.ended()
        assert (main_state(ended)["terminated"]["exitCode"], ended["reason"]) == (137, "AllocationEnding")

    play(tmp_path, scenario)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_hundreds_of_runs_leave_nothing(tmp_path: Path) -> None:
    """With all that can be beside a run: hooks, probes of each kind, input, a sidecar that crashes."""

    async def scenario(stage: Stage) -> None:
        probe = {"action": {"kind": "exec", "command": ["true"]}, "period": 1000.0}
        hooks = {"post_start": probe["action"], "pre_stop": probe["action"]}
        probes = {f"{kind}_probe": probe for kind in ("startup", "liveness", "readiness")}
        main = shell("echo no; sleep 0.02; exit 1", stdin=True, **hooks, **probes)
        stage.start(restart_policy="Always", init_containers=[shell("", "side", sidecar=True)], containers=[main])
        await stage.happens(lambda: stage.events)
        open_at_first = 0
        for runs in (20, 150):
            while stage.now()["containers"][0]["restartCount"] < runs:
                stage.clock.advance(300)
                await asyncio.sleep(0.002)
            open_at_first = open_at_first or descriptors()
            assert descriptors() <= open_at_first + 12
            assert len(asyncio.all_tasks()) <= 16
        stage.stop(grace=0)
        await stage.ended()
        await stage.calm()
        assert not stage.clock.armed
        assert len(asyncio.all_tasks()) <= 2  # this one and the one that tells of events
        assert sum(1 for _ in (tmp_path / "pods/u1").iterdir()) <= 4

    play(tmp_path, scenario)


def order(inits: list[tuple[int, bool]], containers: list[int], gpus: int = 0) -> Any:
    return {
        "gpus": gpus,
        "init_containers": [{"name": f"i{n}", "gpus": count, "sidecar": side} for n, (count, side) in enumerate(inits)],
        "containers": [{"name": f"c{n}", "gpus": count} for n, count in enumerate(containers)],
    }


@pytest.mark.parametrize(
    ("inits", "containers", "needed"),
    [
        ([], [1, 2], 3),
        ([(4, False)], [1, 2], 4),
        ([(1, True)], [1, 2], 4),
        ([(1, True), (3, False)], [1], 4),
        ([(3, False), (1, True)], [1], 3),
        ([(1, True), (1, True), (2, False)], [1], 4),
    ],
)
def test_the_gpus_of_a_pod(inits: list[tuple[int, bool]], containers: list[int], needed: int) -> None:
    """https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers"""
    wanted = order(inits, containers)
    assert gpus_needed(wanted) == needed
    shares = shared(wanted, [f"g{n}" for n in range(needed)])
    assert [len(shares[f"i{n}"]) for n in range(len(inits))] == [count for count, _ in inits]
    together = [gpu for name, gpus in shares.items() for gpu in gpus if name[0] == "c" or inits[int(name[1:])][1]]
    assert len(together) == len(set(together)) == sum(containers) + sum(count for count, side in inits if side)
