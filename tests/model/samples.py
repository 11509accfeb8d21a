"""Small pods to start from."""

from __future__ import annotations

import copy
from typing import Any

UID = "6f1c2b1e-8a53-4f5e-9d57-0b1f5a8f9c11"
Json = dict[str, Any]


def container(**fields: Any) -> Json:
    return {"name": "main", "image": "busybox:1.36", **fields}


def pod(*, metadata: Json | None = None, **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "hello", "uid": UID, **(metadata or {})},
        "spec": {"containers": [container()], **spec},
    }


def one(**fields: Any) -> Json:
    """A pod of one container with these fields."""
    return pod(containers=[container(**fields)])


def annotated(**annotations: str) -> Json:
    return pod(metadata={"annotations": {f"farnode.io/{key.replace('_', '-')}": v for key, v in annotations.items()}})


def bundle(
    pod_document: Json, *, config_maps: Json | None = None, secrets: Json | None = None, claims: Json | None = None
) -> Json:
    """`config_maps`, `secrets` and `claims`: name -> the object without its name."""
    return {
        "pod": copy.deepcopy(pod_document),
        "configMaps": _named(config_maps),
        "secrets": _named(secrets),
        "persistentVolumeClaims": _named(claims),
    }


def _named(objects: Json | None) -> list[Json]:
    return [{"metadata": {"name": name}, **body} for name, body in (objects or {}).items()]
