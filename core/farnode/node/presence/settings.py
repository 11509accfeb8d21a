"""What an administrator says of one virtual node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TAINT = {"key": "virtual-kubelet.io/provider", "value": "farnode", "effect": "NoSchedule"}
"""Where nothing else is said: the taint of virtual kubelets, which charts and users that know any of them tolerate, and
which keeps away DaemonSets and whoever never asked for such a node."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """`queue_depth`: how many times the account's real limits are shown as allocatable. `pods` of the node at most.
    `labels` go before those that say what the site has, also before `kubernetes.io/arch` (amd64). `taints`: v1.Taint
    objects instead of TAINT. `offers`: names of offers or partitions that this node stands for; empty: all."""

    name: str
    queue_depth: float = 1.0
    pods: int = 1000
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, Any]] | None = None
    zone: str | None = None
    offers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the API server reaches the kubelet API: an IP address or a host name, and the port."""

    address: str
    port: int
