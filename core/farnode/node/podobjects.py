"""The API server's objects of one node's pods, as this process changes them; the mirror then has them as they are.

Each write carries the pod's uid. One that meets another object of that name, or none, has nothing left to do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from farnode.errors import Denied, FarnodeError, NotFound, Transient
from farnode.node.kube.api import KubeApi
from farnode.node.kube.failures import Conflict
from farnode.node.mirror import Entry, Mirror

log = logging.getLogger(__name__)

Json = dict[str, Any]


class PodObjects:
    """`clock` gives seconds since the epoch."""

    def __init__(self, api: KubeApi, mirror: Mirror, clock: Callable[[], float]) -> None:
        self._api = api
        self._mirror = mirror
        self._clock = clock

    async def write(self, entry: Entry, resource: str, patch: Json) -> None:
        """`resource` is "", or that of the pod which is written, such as `/status`."""
        pod = entry.pod
        if pod is None:
            return
        try:
            self._mirror.put_pod(await self._api.patch(_path(pod) + resource, patch), self._clock())
        except (NotFound, Conflict, Denied) as error:
            await self._missed(entry, pod, error)

    async def _missed(self, entry: Entry, pod: Json, error: FarnodeError) -> None:
        """A write that met another object: what is there now is asked for. Denied is also what a node's own identity
        hears of a pod of that name on another node."""
        log.debug("pod %s: %s", entry.uid, error)
        if await self._look(pod):
            raise error if isinstance(error, Denied) else Transient(str(error))

    async def _look(self, pod: Json) -> bool:
        """Whether its object is there; the mirror then has it as it is."""
        metadata = pod["metadata"]
        now = await self.present(metadata["uid"], metadata["namespace"], metadata["name"])
        if now is None:
            self._mirror.remove_pod(pod)
        else:
            self._mirror.put_pod(now, self._clock())
        return now is not None

    async def remove(self, entry: Entry) -> None:
        pod = entry.pod
        if pod is None:
            return
        try:
            await self._api.delete(_path(pod), uid=entry.uid, grace=0)
        except (NotFound, Conflict, Denied) as error:
            await self._missed(entry, pod, error)
        else:
            if pod["metadata"].get("finalizers"):
                await self._look(pod)
            else:
                self._mirror.remove_pod(pod)

    async def confirm(self, entry: Entry) -> None:
        """By its name, which the site knows; another uid there is another pod."""
        view = entry.view
        if view is None:
            return
        there = await self.present(entry.uid, view["namespace"], view["name"])
        if there is None:
            entry.gone = True
        else:
            self._mirror.put_pod(there, self._clock())

    async def present(self, uid: str, namespace: str, name: str) -> Json | None:
        """The object as it is; None when it is gone, or another has its name. It is listed: to a node's own identity
        `get` of what is gone is denied (Kubernetes, "Using Node Authorization")."""
        query = {"fieldSelector": f"spec.nodeName={self._mirror.node},metadata.name={name}"}
        found = await self._api.get(f"/api/v1/namespaces/{namespace}/pods", query)
        there = next((pod for pod in found["items"] if pod["metadata"]["uid"] == uid), None)
        return None if there is None else {"apiVersion": "v1", "kind": "Pod", **there}


def _path(pod: Json) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
