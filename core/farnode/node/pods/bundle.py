"""The bundle of a pod of the API server: what is handed to the site, without what it must not see or has no use for.

Of metadata only what the containers can be shown goes there. Of the spec, what the cluster has dealt with does not (the
scheduler's part, what admission adds to every pod): users are not to be told of fields that they never gave. Nor do
ephemeral containers: the site refuses them, and the pod is not to blame. Pods of one kind are alike in all but their
metadata and tokens, so that the site reads the kind once: the volume of the automatic token has one name in all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from farnode.model.serviceaccount import PREFIX

Json = dict[str, Any]

_METADATA = ("name", "namespace", "uid", "labels", "annotations")
_DEALT_WITH = frozenset(
    (
        *("affinity", "preemptionPolicy", "priorityClassName", "schedulerName", "schedulingGates", "tolerations"),
        *("topologySpreadConstraints", "serviceAccount", "automountServiceAccountToken", "ephemeralContainers"),
    )
)
_DEFAULTS = {"dnsPolicy": "ClusterFirst", "enableServiceLinks": True}
"""What the API server fills in where a pod says nothing."""
_ACCESS = re.compile(f"{PREFIX}[a-z0-9]{{5}}")
_CONTAINERS = ("initContainers", "containers")


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
    spec = _alike(_spec(pod["spec"]))
    return {
        "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(pod["metadata"]), "spec": spec},
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


def _alike(spec: Json) -> Json:
    """With another name for the volume that admission named by chance."""
    found = [volume["name"] for volume in spec.get("volumes") or () if _ACCESS.fullmatch(volume["name"])]
    if len(found) != 1:
        return spec
    names = {found[0]: f"{PREFIX}token"}
    containers = {key: [_with_mounts(one, names) for one in spec[key]] for key in _CONTAINERS if key in spec}
    return {**spec, **containers, "volumes": [_named(volume, names) for volume in spec["volumes"]]}


def _with_mounts(container: Json, names: dict[str, str]) -> Json:
    if "volumeMounts" not in container:
        return container
    return {**container, "volumeMounts": [_named(mount, names) for mount in container["volumeMounts"]]}


def _named(one: Json, names: dict[str, str]) -> Json:
    return {**one, "name": names.get(one["name"], one["name"])}
