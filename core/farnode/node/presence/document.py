"""The Node object, as functions of what is known: pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from farnode.model.api import SiteView
from farnode.node.kube.failures import Json
from farnode.node.presence import conditions, labels, ownership, resources
from farnode.node.presence.ownership import APPLIED, Applied
from farnode.node.presence.settings import TAINT, Endpoint, NodeSettings

KUBERNETES = "1.36.0"
"""Whose kubelet this one behaves as: tools read it from kubeletVersion."""
FEATURES = ["ExtendWebSocketsToKubelet"]
"""Sorted. The API server hands WebSockets through instead of speaking SPDY for its clients."""
_UNSURE = {"declaredFeatures"}
"""That API servers before 1.36 drop: no reason to write it again and again."""
UNREACHABLE = {"key": "farnode.io/site-unreachable", "effect": "NoSchedule"}
DRAINING = {"key": "farnode.io/site-draining", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class Known:
    """`site`: the newest there is, None before the first. `unreachable`: why it cannot be asked now, "" when it can.
    `waiting`: what the serving certificate waits for."""

    site: SiteView | None = None
    unreachable: str = ""
    waiting: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """What the Node should say."""

    settings: NodeSettings
    endpoint: Endpoint
    known: Known = field(default_factory=Known)

    def created(self, at: float) -> Json:
        """The whole object, for a name that is free; without taints that come and go, for a Node's own identity may
        give it taints and never take them away."""
        wanted = Applied(self.labels(), self._base_taints())
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.settings.name,
                "labels": dict(wanted.labels),
                "annotations": {APPLIED: wanted.annotation()},
            },
            "spec": {"providerID": f"farnode://{self.settings.name}", "taints": wanted.taints},
            "status": self._status({}) | {"conditions": conditions.written(self._conditions(), (), at)},
        }

    def changed(self, node: Json, taints: bool = True) -> Json | None:
        """A merge patch of the object for labels and taints, None where it is as it should be. `taints`: whether we may
        change them; it names the resourceVersion, since the patch holds taints of others too."""
        before = ownership.applied(node) or Applied()
        present = node["metadata"].get("labels") or {}
        wanted = self.labels() if self.known.site else {**before.labels, **labels.static(self.settings)}
        kept = ownership.merged(present, before.labels, wanted)
        there = ownership.by_identity(node["spec"].get("taints") or ())
        ours = ownership.by_identity(self.taints() if taints else before.taints)
        left = ownership.merged(there, ownership.by_identity(before.taints), ours) if taints else there
        annotation = Applied(wanted, list(ours.values())).annotation()
        if kept == present and left == there and annotation == (node["metadata"].get("annotations") or {}).get(APPLIED):
            return None
        metadata: Json = {
            "resourceVersion": node["metadata"]["resourceVersion"],
            "labels": {key: kept.get(key) for key in {**present, **kept} if present.get(key) != kept.get(key)},
            "annotations": {APPLIED: annotation},
        }
        if left == there:
            return {"metadata": metadata}
        return {"metadata": metadata, "spec": {"taints": ownership.unchanged(left, node["spec"].get("taints") or ())}}

    def changed_status(self, node: Json, at: float, heartbeat: bool = False) -> Json | None:
        """A strategic merge patch of the status, None where it says all there is to say. `heartbeat`: say it again."""
        present = node.get("status") or {}
        status = self._status(present)
        told = present.get("conditions") or ()
        wanted = list(self._conditions())
        news = {key: value for key, value in status.items() if present.get(key) != value}
        if not news.keys() - _UNSURE and not heartbeat and conditions.same(wanted, told):
            return None
        for key in {"capacity", "allocatable"} & news.keys():
            news[key] = dict.fromkeys(present.get(key) or {}) | news[key]  # null removes a resource
        if "addresses" in news:
            news["addresses"] = [*news["addresses"], {"$patch": "replace"}]  # else those of before stay beside them
        uid = node["metadata"]["uid"]
        return {"metadata": {"uid": uid}, "status": news | {"conditions": conditions.written(wanted, told, at)}}

    def labels(self) -> dict[str, str]:
        site = self.known.site
        return labels.of_site(site["name"], self._offers(), self.settings) if site else labels.static(self.settings)

    def taints(self) -> list[Json]:
        """Ours, as they should be now."""
        site = self.known.site
        found = self._base_taints()
        if self.known.unreachable:
            found.append(dict(UNREACHABLE))
        if site and site.get("draining"):
            found.append(dict(DRAINING))
        return found

    def _base_taints(self) -> list[Json]:
        base = [TAINT] if self.settings.taints is None else self.settings.taints
        return list(ownership.by_identity(base).values())

    def _conditions(self) -> list[conditions.Condition]:
        known = self.known
        problem = (known.site or {}).get("problem") or ""
        return list(conditions.conditions(known.unreachable, str(problem), known.waiting))

    def _offers(self) -> list[resources.Offer]:
        return resources.shown((self.known.site or {}).get("offers") or (), self.settings)

    def _status(self, present: Json) -> Json:
        """Without conditions. What the site was asked for before stays until it answers again."""
        found: Json = {
            "nodeInfo": self._info(present),
            "addresses": _addresses(self.endpoint.address),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.endpoint.port}},
            "declaredFeatures": FEATURES,
        }
        if self.known.site or not present.get("capacity"):
            offers = self._offers()
            found["capacity"] = resources.capacity(offers, self.settings)
            found["allocatable"] = resources.allocatable(offers, self.settings)
        return found

    def _info(self, present: Json) -> Json:
        """The API server wants all of these to be there, empty or not."""
        own = version("farnode")
        site = self.known.site
        info = dict.fromkeys(("machineID", "systemUUID", "bootID", "kernelVersion", "kubeProxyVersion"), "")
        before: dict[str, Any] = present.get("nodeInfo") or {}
        return info | {
            "osImage": f"site {site['name']}" if site else before.get("osImage", ""),
            "containerRuntimeVersion": f"farnode://{own}",
            "kubeletVersion": f"v{KUBERNETES}-farnode-{own}",
            "operatingSystem": "linux",
            "architecture": self.labels()[labels.ARCHITECTURE],
        }


def _addresses(address: str) -> list[Json]:
    """API servers try the Hostname first where nothing else is configured, so it is one that they reach."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        kind = "InternalDNS"
    else:
        kind = "InternalIP"
    return [{"type": kind, "address": address}, {"type": "Hostname", "address": address}]
