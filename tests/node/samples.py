"""Pods as an API server gives them."""

from __future__ import annotations

import copy
from typing import Any

Json = dict[str, Any]

UID = "6f1c2b1e-8a53-4f5e-9d57-0b1f5a8f9c11"
T0 = 1_800_000_000.0
START, LATER, END = "2027-01-15T08:00:00Z", "2027-01-15T08:01:00Z", "2027-01-15T08:02:00Z"
ACCESS: Json = {
    "name": "kube-api-access-x7k2p",
    "projected": {
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                    ]
                }
            },
        ],
    },
}
"""What the ServiceAccount admission puts into every pod."""


def container(name: str = "main", **fields: Any) -> Json:
    return {
        "name": name,
        "image": "busybox:1.36",
        "imagePullPolicy": "IfNotPresent",
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        **fields,
    }


def pod(*, metadata: Json | None = None, status: Json | None = None, **spec: Any) -> Json:
    """With all that the API server and its admission fill in."""
    return copy.deepcopy(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "hello",
                "namespace": "default",
                "uid": UID,
                "generation": 1,
                "resourceVersion": "100",
                "creationTimestamp": START,
                "managedFields": [{"manager": "kubectl"}],
                **(metadata or {}),
            },
            "spec": {
                "containers": [container()],
                "nodeName": "farnode-1",
                "restartPolicy": "Always",
                "dnsPolicy": "ClusterFirst",
                "enableServiceLinks": True,
                "preemptionPolicy": "PreemptLowerPriority",
                "priority": 0,
                "schedulerName": "default-scheduler",
                "securityContext": {},
                "serviceAccount": "default",
                "serviceAccountName": "default",
                "terminationGracePeriodSeconds": 30,
                "tolerations": [_toleration("not-ready"), _toleration("unreachable")],
                "volumes": [ACCESS],
                **spec,
            },
            "status": {"phase": "Pending", "qosClass": "BestEffort", **(status or {})},
        }
    )


def _toleration(taint: str) -> Json:
    key = f"node.kubernetes.io/{taint}"
    return {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
