"""Kubernetes pods on batch systems. This is the public face of the client: what is not in `__all__` may change.

import farnode

with farnode.Client("my-site") as client:
    pod = client.run("pod.yaml")
    print(pod.phase, pod.exit_code())
"""

from __future__ import annotations

from farnode.client.aio import AsyncClient
from farnode.client.blocking import Client
from farnode.client.pod import Pod
from farnode.client.site import Site
from farnode.errors import Denied, FarnodeError, Invalid, NotFound, Permanent, Transient, Unreachable

__all__ = [
    "AsyncClient",
    "Client",
    "Denied",
    "FarnodeError",
    "Invalid",
    "NotFound",
    "Permanent",
    "Pod",
    "Site",
    "Transient",
    "Unreachable",
]
