"""v1.PodStatus.phase, row by row of Kubernetes' documentation: real containers, what the runner says of them, and what
the status that is made of it says."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from farnode.model.pod import parse_pod
from farnode.model.status import failed_status, lost_status, status_of, waiting_status

from .stage import Stage, play, shell

DOCS = "https://kubernetes.io/docs/concepts/workloads/pods"
PHASE, RESTARTS = f"{DOCS}/pod-lifecycle/#pod-phase", f"{DOCS}/pod-lifecycle/#restart-policy"
INIT, SIDECAR = f"{DOCS}/init-containers/#detailed-behavior", f"{DOCS}/sidecar-containers/"
RUNS_ON = "while :; do sleep 0.01; done"


@dataclass(frozen=True)
class Row:
    """Scripts of containers, and the pod's phases after Pending, until it has ended or, where it `crashes`, until one
    of its containers waits for its restart."""

    says: str
    link: str
    phases: tuple[str, ...]
    containers: tuple[str, ...]
    inits: tuple[str, ...] = ()
    sidecars: tuple[str, ...] = ()
    policy: str = "Never"
    crashes: bool = False


ROWS = [
    Row("all have terminated in success", PHASE, ("Running", "Succeeded"), ("exit 0", "exit 0")),
    Row("at least one has terminated in failure", PHASE, ("Running", "Failed"), ("exit 0", "exit 1")),
    Row("at least one is still running", PHASE, ("Running", "Failed"), ("exit 1", "sleep 0.1")),
    Row("or is restarting", PHASE, ("Running",), ("exit 1",), policy="OnFailure", crashes=True),
    Row("Always, after any termination", RESTARTS, ("Running",), ("exit 0",), policy="Always", crashes=True),
    Row("OnFailure, not after success", RESTARTS, ("Running", "Succeeded"), ("exit 0",), policy="OnFailure"),
    Row("one that initializes is Pending", INIT, ("Running", "Succeeded"), ("exit 0",), ("exit 0",)),
    Row("Never, and an init container fails", INIT, ("Failed",), ("exit 0",), ("exit 1",)),
    Row("else it is retried", INIT, (), ("exit 0",), ("exit 1",), policy="Always", crashes=True),
    Row("a sidecar keeps no pod alive", SIDECAR, ("Running", "Succeeded"), ("exit 0",), (), (RUNS_ON,)),
    Row(
        "the exit code of a sidecar is ignored",
        SIDECAR,
        ("Running", "Succeeded"),
        ("exit 0",),
        (),
        (f"trap 'exit 7' TERM; {RUNS_ON}",),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_phase(tmp_path: Path, row: Row) -> None:
    """As `row.link` says."""
    inits = [shell(script, f"init-{n}") for n, script in enumerate(row.inits)]
    inits += [shell(script, f"sidecar-{n}", sidecar=True) for n, script in enumerate(row.sidecars)]
    containers = [shell(script, f"main-{n}") for n, script in enumerate(row.containers)]
    pod = parse_pod(document(row.policy, inits, containers))

    async def scenario(stage: Stage) -> None:
        stage.start(restart_policy=row.policy, init_containers=inits, containers=containers)
        await stage.until(crashed if row.crashes else lambda event: event["ended"])
        status = waiting_status(pod, "ContainerCreating", "")
        phases = [status["phase"]]
        for event in stage.events:
            status = status_of(pod, event, status)
            phases.append(status["phase"])
        assert [phase for phase, _ in groupby(phases)] == ["Pending", *row.phases]

    play(tmp_path, scenario)


def test_a_pod_on_a_lost_node() -> None:
    """https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase: its phase is set to Failed."""
    pod = parse_pod(document("Never", [], [{"name": "main"}]))
    before = waiting_status(pod, "ContainerCreating", "")
    assert lost_status(pod, before, "RunnerLost", "", 0.0, restarting=False)["phase"] == "Failed"
    assert failed_status(pod, before, "RunnerLost", "", 0.0)["phase"] == "Failed"


def crashed(event: Any) -> bool:
    states = [one["state"] for one in event["init_containers"] + event["containers"]]
    return any(state.get("waiting", {}).get("reason") == "CrashLoopBackOff" for state in states)


def document(policy: str, inits: list[dict[str, Any]], containers: list[dict[str, Any]]) -> dict[str, Any]:
    def container(order: dict[str, Any]) -> dict[str, Any]:
        own = {"restartPolicy": "Always"} if order.get("sidecar") else {}
        return {"name": order["name"], "image": "busybox:1", **own}

    spec = {
        "restartPolicy": policy,
        "initContainers": [container(one) for one in inits],
        "containers": [container(one) for one in containers],
    }
    return {"metadata": {"name": "pod"}, "spec": spec}
