"""What a pod's view tells of its allocation and of the attempts before the present one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from farnode.gateway.records import AllocationRecord, PodRecord, Stage
from farnode.gateway.views import allocation_view, lost_attempt, pod_view
from farnode.model.allocation import AllocationRequest
from farnode.model.bundle import parse_bundle

UID = "6f1c2b1e-8a53-4f5e-9d57-0b1f5a8f9c11"
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "one", "uid": UID, "namespace": "default"},
    "spec": {"containers": [{"name": "main", "image": "busybox"}]},
}


def test_earlier_attempts_and_the_time_left() -> None:
    request = AllocationRequest("n0nce", cores=1, memory=1, directory="/", walltime=60, partition="gpu")
    allocation = AllocationRecord(request, "gpu", 0.0, job="41", nodes=("n1",), started=5.0)
    record = PodRecord(UID, "alice", 0.0, Stage.QUEUED, {"startTime": "1970-01-01T00:00:05Z"}, "process", attempt=1)
    past = lost_attempt(record, allocation, "Preempted", "a job of higher priority took its place", 65.0)
    assert past == {
        "attempt": 1,
        "job": "41",
        "nodes": ["n1"],
        "startedAt": "1970-01-01T00:00:05Z",
        "endedAt": "1970-01-01T00:01:05Z",
        "reason": "Preempted",
        "message": "a job of higher priority took its place",
    }
    bundle = parse_bundle({"pod": POD})
    again = PodRecord(UID, "alice", 0.0, Stage.BOUND, {}, "process", attempt=2, past=(past,))
    view = pod_view(again, bundle, allocation)
    assert view["attempts"] == [past]
    assert view["allocation"] == allocation_view(allocation)
    assert (view["allocation"]["startedAt"], view["allocation"]["walltime"]) == (5.0, 60)
    assert view["allocation"]["partition"] == "gpu"
    assert "attempts" not in pod_view(record, bundle, None)


def test_the_node_and_the_version_of_its_inputs() -> None:
    record = PodRecord(UID, "alice", 0.0, Stage.QUEUED, {}, "process")
    direct = pod_view(record, parse_bundle({"pod": POD}), None)
    assert direct["node"] == ""
    assert "inputs" not in direct
    bound = parse_bundle({"pod": {**POD, "spec": {**POD["spec"], "nodeName": "site-a"}}})
    view = pod_view(replace(record, inputs=3), bound, None)
    assert (view["node"], view["inputs"]) == ("site-a", 3)
