"""What `describe` tells, laid out: of a pod that has gone through a lot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from farnode import Pod
from farnode.cli.story import tell

NOW = 1767229200.0
"""2026-01-01T01:00:00Z"""

MANIFEST: dict[str, Any] = {
    "metadata": {
        "name": "train",
        "annotations": {"farnode.io/walltime": "2h", "kubectl.kubernetes.io/last-applied-configuration": "{again}"},
    },
    "spec": {
        "restartPolicy": "OnFailure",
        "activeDeadlineSeconds": 600,
        "nodeSelector": {"gpu": "a100"},
        "tolerations": [{"key": "farnode.io/site", "operator": "Exists", "effect": "NoSchedule"}],
        "initContainers": [{"name": "fetch", "image": "busybox", "command": ["sh", "-c", "wget"]}],
        "containers": [
            {
                "name": "main",
                "image": "torch",
                "args": ["train.py"],
                "ports": [{"name": "http", "containerPort": 80}],
                "env": [
                    {"name": "MODE", "value": "fast"},
                    {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                ],
                "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "S_"}],
                "resources": {"limits": {"cpu": "4", "nvidia.com/gpu": "1"}, "requests": {"memory": "1Gi"}},
                "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}, "failureThreshold": 5},
                "readinessProbe": {"exec": {"command": ["cat", "/ready"]}, "initialDelaySeconds": 3},
                "lifecycle": {"preStop": {"sleep": {"seconds": 2}}},
                "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True, "subPath": "a"}],
            }
        ],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "datasets"}},
            {"name": "keys", "secret": {"secretName": "s", "optional": True}},
            {"name": "all", "projected": {"sources": [{"configMap": {"name": "c"}}, {"secret": {"name": "s"}}]}},
        ],
    },
}
STATUS: dict[str, Any] = {
    "phase": "Running",
    "hostIP": "10.0.0.7",
    "startTime": "2026-01-01T00:50:00Z",
    "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "not ready: main"}],
    "initContainerStatuses": [
        {"name": "fetch", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}, "ready": True}
    ],
    "containerStatuses": [
        {
            "name": "main",
            "image": "torch:2",
            "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting"}},
            "lastState": {"terminated": {"exitCode": 137, "signal": 9, "reason": "OOMKilled"}},
        }
    ],
}
VIEW: dict[str, Any] = {
    "uid": "u-1",
    "namespace": "science",
    "name": "train",
    "owner": "alice",
    "labels": {"b": "2", "a": "1"},
    "createdAt": "2026-01-01T00:00:00Z",
    "attempt": 2,
    "initContainers": ["fetch"],
    "containers": ["main"],
    "status": STATUS,
    "gpus": ["gpu:0"],
    "attempts": [
        {
            "attempt": 1,
            "job": "41",
            "nodes": ["n1"],
            "startedAt": "2026-01-01T00:10:00Z",
            "endedAt": "2026-01-01T00:40:00Z",
            "reason": "Preempted",
            "message": "a job of higher priority took its place",
        }
    ],
    "allocation": {
        "job": "42",
        "phase": "running",
        "offer": "gpu",
        "nodes": ["n2"],
        "startedAt": NOW - 600,
        "walltime": 7200,
    },
    "notes": [
        {"at": NOW - 500, "kind": "Warning", "reason": "BackOff", "message": "Back-off restarting"},
        {"at": NOW - 400, "kind": "Normal", "reason": "Started", "message": "Started container main"},
        {"at": NOW - 20, "kind": "Warning", "reason": "BackOff", "message": "Back-off restarting"},
    ],
    "pod": MANIFEST,
}
USAGE: Any = {
    "containers": [
        {
            "name": "main",
            "cpu": 12.34,
            "memory": 3 * 2**30,
            "memoryPeak": 2**32,
            "processes": 7,
            "gpus": [{"device": "gpu:0", "memory": 2**30, "memoryTotal": 40 * 2**30, "utilization": 87.0}],
        }
    ]
}
EXPECTED = Path(__file__).parent / "story.txt"


def test_the_whole_story() -> None:
    assert tell(Pod(VIEW), NOW, USAGE, "lab") + "\n" == EXPECTED.read_text()  # type: ignore[arg-type]


def test_why_one_waits() -> None:
    allocation = {"phase": "queued", "job": "7", "words": "the partition is full", "expectedStart": NOW + 3700}
    view = {**VIEW, "status": {"phase": "Pending"}, "allocation": allocation, "attempt": 0, "notes": []}
    told = tell(Pod(view), NOW)  # type: ignore[arg-type]
    assert "Status:       Queued\n" in told
    assert "  Says:      the partition is full\n" in told
    assert "  Expected:  2026-01-01T02:01:40Z (in 1h1m)\n" in told
    assert told.endswith("Events:  <none>")
