"""A site that serves the virtual nodes of two clusters beside ordinary owners."""

from __future__ import annotations

import uuid
from typing import Any

from farnode.gateway.token_file import TokenFile
from farnode.gateway.tokens import Tokens
from tests.sites.embedded import EmbeddedSite

CLUSTERS = ("physics", "chemistry")
NODE = "site-a"


class ClusterSite(EmbeddedSite):
    """Owners share nothing, and each may have three pods."""

    def __init__(self) -> None:
        settings = {
            "shareAcrossOwners": False,
            "quotas": {"podsPerOwner": 3},
            "pilots": {"idleAfter": "1s"},  # one owner has the whole machine, and the next one soon
        }
        super().__init__(settings, gpus=0)

    def _issue(self, owner: str) -> str:
        return Tokens(TokenFile(self.state)).issue(owner, "cluster" if owner in CLUSTERS else "user")


def bundle(namespace: str, script: str, **spec: Any) -> dict[str, Any]:
    """Of a pod bound to a virtual node."""
    container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", script], **spec.pop("container", {})}
    metadata = {
        "namespace": namespace,
        "name": "p",
        "uid": str(uuid.uuid4()),
        "annotations": {"farnode.io/runtime": "process"},
    }
    whole = {"restartPolicy": "Never", "nodeName": NODE, "containers": [container], **spec}
    return {"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole}}


def uid(document: dict[str, Any]) -> str:
    found: str = document["pod"]["metadata"]["uid"]
    return found
