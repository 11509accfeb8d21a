"""The conditions of a Node: the kubelet's, and ours.

Kubernetes, "Node Status". Eviction looks at Ready and at the Lease only; so a site that cannot be reached keeps both.
The controller manager makes a taint NoSchedule of NetworkUnavailable, which works also where the Node's own identity is
forbidden to change its taints (admission plugin NodeRestriction).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from farnode.model.times import rfc3339
from farnode.node.kube.failures import Json

REACHABLE = "SiteReachable"
CERTIFICATE = "ServingCertificate"


@dataclass(frozen=True, slots=True)
class Condition:
    kind: str
    status: str
    reason: str
    message: str


def conditions(unreachable: str, problem: str, waiting: str) -> Iterator[Condition]:
    """`unreachable`: why the site cannot be reached, "" when it can. `problem`: what it says of itself. `waiting`: what
    the serving certificate waits for."""
    yield Condition("Ready", "True", "KubeletReady", "the virtual node is running")
    yield Condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "the site's nodes look after their own")
    yield Condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "the site's nodes look after their own")
    yield Condition("PIDPressure", "False", "KubeletHasSufficientPID", "the site's nodes look after their own")
    if unreachable:
        yield Condition("NetworkUnavailable", "True", "SiteUnreachable", "its pods run on; new ones would wait")
        yield Condition(REACHABLE, "False", "GatewayUnreachable", unreachable)
    else:
        yield Condition("NetworkUnavailable", "False", "SiteReachable", "the site's gateway answers")
        yield Condition(REACHABLE, "True", "GatewayAnswers", problem or "the site's gateway answers")
    if waiting:
        yield Condition(CERTIFICATE, "False", "Waiting", waiting)
    else:
        yield Condition(CERTIFICATE, "True", "Issued", "the kubelet API shows a certificate of the cluster")


def written(wanted: Iterable[Condition], present: Iterable[Json], at: float) -> list[Json]:
    """As v1.NodeCondition: a transition is when the status last became another."""
    before = {condition["type"]: condition for condition in present}
    now = rfc3339(at)
    return [
        {
            "type": one.kind,
            "status": one.status,
            "reason": one.reason,
            "message": one.message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": _since(one, before.get(one.kind)) or now,
        }
        for one in wanted
    ]


def same(wanted: Iterable[Condition], present: Iterable[Json]) -> bool:
    """Whether each of them is there, whenever it was last said."""
    found = {(one.get("type"), one.get("status"), one.get("reason"), one.get("message")) for one in present}
    return all((one.kind, one.status, one.reason, one.message) in found for one in wanted)


def _since(wanted: Condition, before: Json | None) -> str | None:
    return before.get("lastTransitionTime") if before and before.get("status") == wanted.status else None
