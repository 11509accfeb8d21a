from __future__ import annotations

from typing import Any

import pytest

from farnode.node.pods.refusal import replaced_for_ever
from farnode.node.pods.tolerations import tolerated

from .samples import UID, pod

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"


def owned(api_version: str, kind: str, controller: bool = True) -> Any:
    owner = {"apiVersion": api_version, "kind": kind, "name": "o", "uid": "u", "controller": controller}
    return pod(metadata={"ownerReferences": [owner]})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pod(), False),
        (owned("apps/v1", "ReplicaSet"), True),
        (owned("apps/v1", "StatefulSet"), True),
        (owned("apps/v1", "DaemonSet"), True),
        (owned("v1", "ReplicationController"), True),
        (owned("apps/v1", "ReplicaSet", controller=False), False),
        (owned("batch/v1", "Job"), False),
        (owned("argoproj.io/v1alpha1", "Workflow"), False),
        (owned("example.com/v1", "ReplicaSet"), False),
    ],
)
def test_who_is_replaced_for_ever(given: Any, expected: bool) -> None:
    assert replaced_for_ever(given) is expected


def forever(key: str, seconds: int | None = None, **fields: Any) -> dict[str, Any]:
    more = {} if seconds is None else {"tolerationSeconds": seconds}
    return {"key": key, "operator": "Exists", "effect": "NoExecute", **more, **fields}


def test_what_admission_added_is_extended() -> None:
    body = tolerated(pod(), 3600)
    assert body == {
        "metadata": {"uid": UID},
        "spec": {"tolerations": [forever(NOT_READY, 3600), forever(UNREACHABLE, 3600)]},
    }
    assert tolerated(pod(**body["spec"]), 3600) is None


def test_what_is_missing_is_added_behind_the_others() -> None:
    other = {"key": "gpu", "operator": "Equal", "value": "a100", "effect": "NoSchedule"}
    body = tolerated(pod(tolerations=[other, forever(UNREACHABLE)]), 600)
    assert body is not None
    assert body["spec"]["tolerations"] == [other, forever(UNREACHABLE), forever(NOT_READY, 600)]


@pytest.mark.parametrize(
    "tolerations",
    [
        [forever(NOT_READY), forever(UNREACHABLE)],
        [forever(NOT_READY, 600), forever(UNREACHABLE, 86400)],
        [{"operator": "Exists"}],
        [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 600}],
        [{"key": NOT_READY, "effect": "NoExecute"}, {"key": UNREACHABLE, "operator": "Equal", "value": ""}],
    ],
)
def test_what_tolerates_long_enough_stays(tolerations: list[Any]) -> None:
    assert tolerated(pod(tolerations=tolerations), 600) is None


def test_another_effect_does_not_count() -> None:
    body = tolerated(pod(tolerations=[{"operator": "Exists", "effect": "NoSchedule"}]), 600)
    assert body is not None
    assert [one.get("key") for one in body["spec"]["tolerations"]] == [None, NOT_READY, UNREACHABLE]
