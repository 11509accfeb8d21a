"""The bundle of a pod of the API server: what is handed to the site, without what it must not see or has no use for.

Of metadata only what the containers can be shown goes there. Of the spec goes what the cluster has dealt with (the
scheduler's part, what admission adds to every pod), so that pods alike stay alike and their users are not told of
fields that they never gave. Ephemeral containers do not: the site refuses them, and the pod is not to blame.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

_METADATA = ("name", "namespace", "uid", "labels", "annotations")
_DEALT_WITH = frozenset(
    (
        *("affinity", "preemptionPolicy", "priorityClassName", "schedulerName", "schedulingGates", "tolerations"),
        *("topologySpreadConstraints", "serviceAccount", "ephemeralContainers"),
    )
)
_DEFAULTS = {"dnsPolicy": "ClusterFirst", "enableServiceLinks": True}
"""What the API server fills in where a pod says nothing."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a pod refers to, each object as `lean` leaves it; `tokens` as they stand in a bundle."""

    config_maps: tuple[Json, ...] = ()
    secrets: tuple[Json, ...] = field(default=(), repr=False)
    claims: tuple[Json, ...] = ()
    trust_bundles: tuple[Json, ...] = ()
    tokens: tuple[Json, ...] = field(default=(), repr=False)


def bundle(pod: Json, found: Found) -> Json:
    """The document of farnode.model.bundle."""
    return {
        "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(pod["metadata"]), "spec": _spec(pod["spec"])},
        "configMaps": list(found.config_maps),
        "secrets": list(found.secrets),
        "persistentVolumeClaims": list(found.claims),
        "clusterTrustBundles": list(found.trust_bundles),
        "serviceAccountTokens": list(found.tokens),
    }


def lean(document: Json) -> Json:
    """A ConfigMap, Secret, claim or trust bundle without the API server's bookkeeping and without annotations, which
    often hold the whole object once more. Two that are equal then are the same to a pod."""
    metadata = {
        key: document["metadata"][key] for key in ("name", "namespace", "labels") if key in document["metadata"]
    }
    kept = {key: value for key, value in document.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    return {"metadata": metadata, **kept}


def _metadata(metadata: Json) -> Json:
    return {key: metadata[key] for key in _METADATA if key in metadata}


def _spec(spec: Json) -> Json:
    return {
        key: value
        for key, value in spec.items()
        if key not in _DEALT_WITH and not (key in _DEFAULTS and value == _DEFAULTS[key])
    }
