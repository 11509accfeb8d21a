"""Pods that use storage, for the tests of this folder."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from farnode.model.bundle import Bundle, parse_bundle

GIB = 1 << 30


def claim(name: str = "data", **spec: Any) -> dict[str, Any]:
    """A v1.PersistentVolumeClaim."""
    wanted = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": wanted}


def using(name: str = "data") -> dict[str, Any]:
    return {"name": "v", "persistentVolumeClaim": {"claimName": name}}


def ephemeral(**spec: Any) -> dict[str, Any]:
    return {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": claim(**spec)["spec"]}}}


def host(path: str, kind: str | None = None) -> dict[str, Any]:
    return {"name": "v", "hostPath": {"path": path} | ({"type": kind} if kind else {})}


def pod(
    volume: Mapping[str, Any], *claims: Mapping[str, Any], script: str = "true", name: str = "p", uid: int | None = None
) -> dict[str, Any]:
    """A bundle of a pod that has the volume at /v."""
    container = {
        "name": "main",
        "image": "busybox:1",
        "command": ["sh", "-c", script],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }
    metadata = {
        "name": name,
        "uid": str(uuid.uuid4() if uid is None else uuid.UUID(int=uid)),
        "annotations": {"farnode.io/runtime": "process"},
    }
    spec = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
    document: dict[str, Any] = {"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}}
    return {**document, "persistentVolumeClaims": list(claims)} if claims else document


def bundle(volume: Mapping[str, Any], claims: Sequence[Mapping[str, Any]] = (), **fields: Any) -> Bundle:
    return parse_bundle(pod(volume, *claims, **fields))
