"""Lives of pods as a kubelet may see them: any states of containers, in any order, in any phase."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

AT = "2027-01-15T08:00:00Z"
GATES = ("example.com/lb", "example.com/mesh", "Initialized", "DisruptionTarget")
"""What readiness gates may name: conditions of anyone, also the kubelet's own."""
REQUESTS = ("0", "100m", "0.1")
LIMITS = ("0.1", "100m", "1", "1000m", "1Gi")
RESOURCES = ("cpu", "memory", "ephemeral-storage")


def resources() -> st.SearchStrategy[Json]:
    """Limits that no request exceeds."""

    def amounts(*choice: str) -> st.SearchStrategy[Json]:
        return st.dictionaries(st.sampled_from(RESOURCES), st.sampled_from(choice))

    zero = st.just({"limits": {"cpu": "0", "memory": "0"}})
    return zero | st.fixed_dictionaries({}, optional={"requests": amounts(*REQUESTS), "limits": amounts(*LIMITS)})


def whole() -> st.SearchStrategy[Json]:
    """What a pod as a whole may ask for, which is no less than its containers do together."""
    named = st.sampled_from(RESOURCES[:2])
    limits = st.dictionaries(named, st.just("10Gi"), min_size=1)
    requests = st.dictionaries(named, st.sampled_from(["9Gi", "10Gi"]), min_size=1)
    return st.fixed_dictionaries({"limits": limits}, optional={"requests": requests}) | (
        st.fixed_dictionaries({"requests": requests})
    )


@st.composite
def documents(draw: st.DrawFn) -> Json:
    """v1.Pod with a few containers of every kind."""

    def container(name: str, **fields: Any) -> Json:
        return {"name": name, "image": "busybox:1.36", "resources": draw(resources()), **fields}

    kinds = draw(st.lists(st.booleans(), max_size=3))
    inits = [
        container(f"init-{n}", **({"restartPolicy": "Always"} if sidecar else {})) for n, sidecar in enumerate(kinds)
    ]
    mains = [container(f"main-{n}") for n in range(draw(st.integers(1, 3)))]
    gates = draw(st.lists(st.sampled_from(GATES), max_size=2, unique=True))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", "namespace": "default", "uid": "6f1c2b1e-8a53-4f5e-9d57-0b1f5a8f9c11"},
        "spec": {
            "initContainers": inits,
            "containers": mains,
            "readinessGates": [{"conditionType": gate} for gate in gates],
            **draw(st.fixed_dictionaries({}, optional={"resources": whole()})),
        },
    }


WAITING: Json = {"waiting": {"reason": "ContainerCreating"}}
CRASHED: Json = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
RUNNING: Json = {"running": {"startedAt": AT}}


def ended(code: int) -> Json:
    return {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed", "startedAt": AT}}


@st.composite
def container_status(draw: st.DrawFn, container: Json, runs_once: bool, healthy: bool) -> Json:
    """With the flags that the kubelet's prober gives: an init container is ready when it has succeeded."""
    well = [ended(0)] if runs_once else [RUNNING]
    state = draw(st.sampled_from(well if healthy else [WAITING, CRASHED, RUNNING, ended(0), ended(1)]))
    started = state is RUNNING and (healthy or draw(st.booleans()))
    ready = started and (healthy or draw(st.booleans()))
    if runs_once:
        ready = state.get("terminated", {}).get("exitCode") == 0
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": ready,
        "started": started,
        "restartCount": draw(st.integers(0, 3)),
        "state": state,
        "lastState": ended(1) if state is CRASHED else {},
    }


@st.composite
def moments(draw: st.DrawFn, document: Json) -> Json:
    """What a runner may say of the pod (an EventFrame), and `told`: conditions that others set meanwhile."""
    inits, containers = document["spec"]["initContainers"], document["spec"]["containers"]
    healthy = draw(st.booleans())
    moment: Json = {
        "at": 1_800_000_000.0 + draw(st.integers(0, 1000)),
        "phase": draw(st.sampled_from(["Pending", "Running", "Running", "Succeeded", "Failed"])),
        "init_containers": [draw(container_status(one, "restartPolicy" not in one, healthy)) for one in inits],
        "containers": [draw(container_status(one, False, healthy)) for one in containers],
        "told": draw(st.dictionaries(st.sampled_from(GATES[:2]), st.sampled_from(["True", "False", "Unknown"]))),
    }
    if draw(st.booleans()):
        moment["started_at"] = 1_800_000_000.0
    return moment
