"""The API server from a test that is not asynchronous: one connection, one loop."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from farnode.errors import NotFound
from farnode.node.kube.api import KubeApi
from farnode.node.kube.connection import Connection

T = TypeVar("T")
Json = dict[str, Any]


class Live:
    """`namespace` is its own, and there is a node of the same name."""

    def __init__(self, api: KubeApi, runner: asyncio.Runner) -> None:
        self.api = api
        self.namespace = f"test-{uuid.uuid4().hex[:8]}"
        self._runner = runner

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(call)

    def path(self, resource: str, name: str = "") -> str:
        return f"/api/v1/namespaces/{self.namespace}/{resource}" + (f"/{name}" if name else "")

    async def create(self, resource: str, name: str, **fields: Any) -> Json:
        return await self.api.create(self.path(resource), {"metadata": {"name": name}, **fields})

    async def pod(self, **spec: Any) -> Json:
        """A new one that is bound to a node, of which nobody takes care."""
        name = f"pod-{uuid.uuid4().hex[:8]}"
        whole = {"containers": [{"name": "main", "image": "busybox:1.36"}], "nodeName": self.namespace, **spec}
        return await self.create("pods", name, apiVersion="v1", kind="Pod", spec=whole)

    async def begin(self) -> None:
        await self.api.__aenter__()
        await self.api.create("/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        room = {"cpu": "64", "memory": "64Gi", "pods": "1000"}
        node = {"metadata": {"name": self.namespace}, "status": {"capacity": room, "allocatable": room}}
        await self.api.create("/api/v1/nodes", node)
        async with asyncio.timeout(30):
            while not (
                await self.has("serviceaccounts", "default") and await self.has("configmaps", "kube-root-ca.crt")
            ):
                await asyncio.sleep(0.02)

    async def has(self, resource: str, name: str) -> bool:
        try:
            await self.api.get(self.path(resource, name))
        except NotFound:
            return False
        return True

    async def end(self) -> None:
        await self.api.delete(f"/api/v1/nodes/{self.namespace}")
        await self.api.delete(f"/api/v1/namespaces/{self.namespace}")
        await self.api.__aexit__(None, None, None)


@contextmanager
def living(kubeconfig: Path) -> Iterator[Live]:
    with asyncio.Runner() as runner:
        live = Live(KubeApi(Connection(kubeconfig)), runner)
        runner.run(live.begin())
        try:
            yield live
        finally:
            runner.run(live.end())
