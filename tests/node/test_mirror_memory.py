"""What the node remembers of a pod is no larger than what it was told."""

from __future__ import annotations

import tracemalloc
import uuid

import orjson

from farnode.model.api import PodView
from farnode.node.mirror import Json, Mirror

PODS = 200
OWN = 1500
"""Bytes of an entry, its names and its place in the dictionaries."""


def pod(number: int) -> Json:
    container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", "x" * 1000]}
    metadata = {
        "uid": str(uuid.UUID(int=number)),
        "name": f"pod-{number}",
        "namespace": "default",
        "resourceVersion": "7",
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {str(field): {} for field in range(100)}}}],
    }
    return {"metadata": metadata, "spec": {"nodeName": "site", "containers": [container]}}


def view(number: int) -> PodView:
    return PodView(uid=str(uuid.UUID(int=number)), node="site", status={"phase": "Pending", "message": "y" * 1000})


def test_a_pod_takes_as_many_bytes_as_its_json() -> None:
    mirror = Mirror("site")
    told = sum(len(orjson.dumps(view(number))) for number in range(PODS))
    tracemalloc.start()
    try:
        for number in range(PODS):
            mirror.put_pod(pod(number), 0.0)
            mirror.put_view(view(number), 0.0)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    told += sum(len(orjson.dumps(one)) for one in mirror.pods())
    assert taken < told + PODS * OWN, (taken / PODS, told / PODS)
