"""Nodes that are objects and Leases and nothing else: no kubelet, and pods bound to them never run."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from tests.node.faults.administrator import Administrator

Json = dict[str, Any]
RENEW = 2.0
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_TAINT = {"key": "neighbour", "effect": "NoSchedule"}


class Neighbours:
    """Each of `alive` lives as far as the cluster can tell; who is taken out of it stops renewing its Lease."""

    def __init__(self, administrator: Administrator, *names: str) -> None:
        self.alive = set(names)
        self._api = administrator.api
        for name in names:
            administrator.wait(self._api.create("/api/v1/nodes", _node(name)))
            administrator.wait(self._api.create(_LEASES, _lease(name)))
        administrator.meanwhile(self._live())

    async def _live(self) -> None:
        while True:
            for name in list(self.alive):
                await self._api.keep_trying(lambda name=name: self._api.patch(f"{_LEASES}/{name}", _lease(name)))  # type: ignore[misc]
            await asyncio.sleep(RENEW)


def _node(name: str) -> Json:
    room = {"cpu": "64", "memory": "64Gi", "pods": "100"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": _now(False)}
    return {
        "metadata": {"name": name},
        "spec": {"taints": [_TAINT]},
        "status": {"capacity": room, "allocatable": room, "conditions": [ready]},
    }


def _lease(name: str) -> Json:
    spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": _now(True)}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}


def _now(precise: bool) -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ" if precise else "%Y-%m-%dT%H:%M:%SZ")
