"""Statuses as a real API server takes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farnode.model.pod import parse_pod
from farnode.model.status import failed_status, lost_status, status_of, waiting_status
from farnode.node.kube.api import Patch
from farnode.node.pods.bundle import Found, bundle
from farnode.node.pods.publishing import ENDED, failed, patch, published, waiting
from farnode.node.pods.tolerations import tolerated
from tests.testbed.kubernetes import ControlPlane

from .live import Json, Live, living
from .samples import LATER, START, T0

pytestmark = pytest.mark.system

CODES = st.sampled_from([0, 0, 1, 7, 137])
NAMES = ("init", "side", "one", "two")


@pytest.fixture(scope="module")
def live(plane: ControlPlane) -> Iterator[Live]:
    with living(plane.kubeconfig) as live:
        yield live


@st.composite
def states(draw: st.DrawFn) -> Json:
    kind = draw(st.sampled_from(["waiting", "running", "terminated", "terminated"]))
    if kind == "waiting":
        return {"waiting": {"reason": draw(st.sampled_from(["ContainerCreating", "CrashLoopBackOff"]))}}
    if kind == "running":
        return {"running": {"startedAt": START}}
    code = draw(CODES)
    reason = "Error" if code else "Completed"
    return {"terminated": {"exitCode": code, "reason": reason, "startedAt": START, "finishedAt": LATER}}


@st.composite
def containers(draw: st.DrawFn, *names: str) -> list[Json]:
    found = []
    for name in names:
        state, last = draw(states()), draw(st.one_of(st.just({}), states()))
        one = {"name": name, "image": "busybox:1.36", "imageID": "", "state": state, "lastState": last}
        one |= {"ready": "running" in state, "started": "running" in state, "restartCount": draw(st.integers(0, 3))}
        found.append(one)
    return found


@st.composite
def events(draw: st.DrawFn) -> Json:
    """What a runner may say of its pod: an EventFrame."""
    made: Json = {
        "at": T0 + draw(st.integers(0, 9)),
        "phase": draw(st.sampled_from(["Pending", "Running", "Running", "Succeeded", "Failed"])),
        "started_at": T0 + draw(st.integers(0, 1)),
        "init_containers": draw(containers("init", "side")),
        "containers": draw(containers("one", "two")),
    }
    if draw(st.booleans()):
        made |= {"host_ip": "10.0.0.1", "pod_ip": draw(st.sampled_from(["10.0.0.2", "10.0.0.3", "fd00::1"]))}
    if draw(st.booleans()):
        made |= {"reason": "Evicted", "message": "in words"}
    return made


STEPS = st.one_of(
    st.tuples(st.just("event"), events()),
    st.tuples(st.just("event"), events()),
    st.tuples(st.just("lost"), st.booleans()),
    st.tuples(st.just("waiting"), st.sampled_from(["", "no offer has 8 GPUs"])),
    st.tuples(st.just("failed"), st.just("QueueTimeout")),
    st.tuples(st.just("held"), st.just("configmap not found")),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["Always", "OnFailure", "Never"]),
    st.booleans(),
    st.lists(st.tuples(STEPS, st.booleans()), min_size=1, max_size=8),
)
def test_any_story_is_accepted(live: Live, policy: str, gated: bool, story: list[Any]) -> None:
    """And is there afterwards as it was meant, so that there is nothing to write again; what is final stays."""
    live.run(tell(live, policy, gated, story))


async def tell(live: Live, policy: str, gated: bool, story: list[Any]) -> None:
    given = await live.pod(**specification(policy, gated))
    parsed = parse_pod(bundle(given, Found())["pod"])
    site: Json = {}
    for (kind, what), ended in story:
        site = after(parsed, site, kind, what)
        view: Any = {"status": site, "ended": ended}
        before = given["status"]
        held = kind == "held" and before["phase"] == "Pending"
        status = waiting(given, "ContainerCreating", what, T0) if held else published(given, view, 2.0, at=T0)
        given = await write(live, given, status)
        assert said(given["status"]) == said(status)
        assert patch(given, status) is None
        if before["phase"] in ENDED or (not ended and not held and site["phase"] in ENDED):
            assert given["status"]["phase"] == before["phase"]
    given = await write(live, given, failed(given, "NotFoundAtSite", "the site does not know it", T0))
    assert given["status"]["phase"] in ENDED
    await live.api.delete(live.path("pods", given["metadata"]["name"]), grace=0)


def specification(policy: str, gated: bool) -> Json:
    image = {"image": "busybox:1.36"}
    resources = {"resources": {"requests": {"cpu": "1500m", "memory": "1024Mi"}}}
    return {
        "restartPolicy": policy,
        "initContainers": [{"name": "init", **image}, {"name": "side", "restartPolicy": "Always", **image}],
        "containers": [{"name": "one", **image, **resources}, {"name": "two", **image}],
        "readinessGates": [{"conditionType": "example.com/lb"}] if gated else [],
    }


def after(parsed: Any, site: Json, kind: str, what: Any) -> Json:
    """The site's next status."""
    if kind == "event":
        return status_of(parsed, what, site)
    if kind == "lost" and site:
        return lost_status(parsed, site, "RunnerLost", "the node failed", T0 + 5, what)
    if kind == "failed":
        return failed_status(parsed, site, what, "in words", T0 + 5)
    return waiting_status(parsed, "ContainerCreating", what if isinstance(what, str) else "", site, T0)


async def write(live: Live, given: Json, status: Json) -> Json:
    body = patch(given, status)
    path = live.path("pods", given["metadata"]["name"])
    return given if body is None else await live.api.patch(f"{path}/status", body)


def said(value: Any) -> Any:
    """Without what is empty, and conditions by their type: their order says nothing."""
    if isinstance(value, dict):
        found = {key: said(item) for key, item in value.items()}
        if "conditions" in found:
            found["conditions"] = {one["type"]: one for one in found["conditions"]}
        return {key: item for key, item in found.items() if item not in (None, "", [], {})}
    return [said(item) for item in value] if isinstance(value, list) else value


def test_conditions_of_others_and_readiness_gates(live: Live) -> None:
    live.run(conditions_of_others(live))


async def conditions_of_others(live: Live) -> None:
    given = await live.pod(readinessGates=[{"conditionType": "example.com/lb"}])
    view: Any = {"status": running(given), "ended": False}
    given = await write(live, given, published(given, view, 0.0, at=T0))
    assert condition(given, "Ready")["reason"] == "ReadinessGatesNotReady"
    gate = {"type": "example.com/lb", "status": "True", "lastTransitionTime": LATER}
    path = f"{live.path('pods', given['metadata']['name'])}/status"
    given = await live.api.patch(path, {"status": {"conditions": [gate]}})
    given = await write(live, given, published(given, view, 0.0, at=T0 + 60))
    assert condition(given, "Ready")["lastTransitionTime"] == LATER
    assert condition(given, "example.com/lb")["lastTransitionTime"] == LATER


def test_a_resize_is_infeasible(live: Live) -> None:
    live.run(resize(live))


async def resize(live: Live) -> None:
    small, large = {"requests": {"cpu": "500m"}}, {"requests": {"cpu": "2"}}
    given = await live.pod(containers=[{"name": "main", "image": "busybox:1.36", "resources": small}])
    view: Any = {"status": running(given), "ended": False}
    given = await write(live, given, published(given, view, 0.0))
    path = live.path("pods", given["metadata"]["name"])
    body = {"spec": {"containers": [{"name": "main", "resources": large}]}}
    given = await live.api.patch(f"{path}/resize", body)
    status = published(given, view, 0.0, at=T0)
    given = await write(live, given, status)
    assert condition(given, "PodResizePending")["reason"] == "Infeasible"
    assert given["status"]["containerStatuses"][0]["resources"] == small
    assert patch(given, status) is None
    body = {"spec": {"containers": [{"name": "main", "resources": small}]}}
    given = await live.api.patch(f"{path}/resize", body)
    given = await write(live, given, published(given, view, 0.0, at=T0))
    assert "PodResizePending" not in [one["type"] for one in given["status"]["conditions"]]


def test_ephemeral_containers_wait(live: Live) -> None:
    live.run(debug(live))


async def debug(live: Live) -> None:
    given = await live.pod()
    path = live.path("pods", given["metadata"]["name"])
    body = {"spec": {"ephemeralContainers": [{"name": "debugger", "image": "busybox:1.36"}]}}
    given = await live.api.patch(f"{path}/ephemeralcontainers", body)
    view: Any = {"status": running(given), "ended": False}
    status = published(given, view, 0.0)
    given = await write(live, given, status)
    [ephemeral] = given["status"]["ephemeralContainerStatuses"]
    assert "waiting" in ephemeral["state"]
    assert patch(given, status) is None


def test_tolerations_are_extended(live: Live) -> None:
    live.run(tolerate(live))


async def tolerate(live: Live) -> None:
    given = await live.pod(tolerations=[{"key": "gpu", "operator": "Exists"}])
    body = tolerated(given, 3600)
    assert body is not None
    given = await live.api.patch(live.path("pods", given["metadata"]["name"]), body, Patch.STRATEGIC)
    seconds = [one.get("tolerationSeconds") for one in given["spec"]["tolerations"]]
    assert seconds == [None, 3600, 3600]
    assert tolerated(given, 3600) is None


def running(given: Json) -> Json:
    parsed = parse_pod(bundle(given, Found())["pod"])
    state = {"running": {"startedAt": START}}
    main = {"name": "main", "image": "busybox:1.36", "ready": True, "started": True, "restartCount": 0, "state": state}
    event: Any = {"at": T0, "phase": "Running", "started_at": T0, "containers": [main]}
    status: Json = status_of(parsed, event)
    return status


def condition(given: Json, kind: str) -> Json:
    found: list[Json] = [one for one in given["status"]["conditions"] if one["type"] == kind]
    return found[0]
