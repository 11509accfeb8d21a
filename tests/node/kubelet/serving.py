"""A kubelet API over a real site, and who asks it what the API server asks."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from farnode import AsyncClient, Site
from farnode.node.kubelet.access import Reviewer
from farnode.node.kubelet.pods import Target
from farnode.node.kubelet.server import KubeletServer
from farnode.node.kubelet.settings import KubeletSettings
from tests.sites import GatewaySite
from tests.testbed.kubernetes.authority import Authority

Json = dict[str, Any]

NODE = "site"
PATIENCE = 60.0
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
"""Headers of a WebSocket."""


class Shelf:
    """`kubelet.pods.Pods` of the pods a test has put there."""

    def __init__(self, clients: Mapping[str, AsyncClient]) -> None:
        self._clients = clients
        self.pods: dict[str, Json] = {}

    def find(self, namespace: str, name: str) -> Target | None:
        for uid, pod in reversed(self.pods.items()):
            if (pod["metadata"]["namespace"], pod["metadata"]["name"]) == (namespace, name):
                return Target(uid, self._clients[pod["spec"]["nodeName"]], pod)
        return None

    def all(self) -> Iterable[Json]:
        return self.pods.values()

    def clients(self) -> Mapping[str, AsyncClient]:
        return self._clients


@dataclass
class Serving:
    """`url` is the kubelet API's, `http` a session that shows the API server's certificate."""

    server: KubeletServer
    shelf: Shelf
    client: AsyncClient
    http: aiohttp.ClientSession
    tls: ssl.SSLContext
    url: str

    async def submit(self, manifest: Mapping[str, Any], node: str = NODE) -> Json:
        """The pod as the API server would have it."""
        (pod,) = await self.client.submit(dict(manifest))
        metadata = {"namespace": "default", **manifest["metadata"], "uid": pod.uid}
        document = {"metadata": metadata, "spec": {**manifest["spec"], "nodeName": node}, "status": {}}
        self.shelf.pods[pod.uid] = document
        return document

    async def running(self, manifest: Mapping[str, Any], node: str = NODE) -> Json:
        document = await self.submit(manifest, node)
        await until(lambda: self.phase(document, "Running"), "it runs")
        return document

    async def ended(self, manifest: Mapping[str, Any]) -> Json:
        document = await self.submit(manifest)
        await until(lambda: self.phase(document, "Succeeded", "Failed"), "it ends")
        return document

    async def phase(self, document: Json, *wanted: str) -> bool:
        pod = await self.client.pod(document["metadata"]["uid"])
        document["status"] = pod.view["status"]
        return pod.phase in wanted

    async def printed(self, document: Json) -> str:
        """Its first line."""
        found = b""
        async with self.http.get(f"/containerLogs/default/{document['metadata']['name']}/main?follow=true") as answer:
            async for chunk in answer.content.iter_any():
                found += chunk
                if b"\n" in found:
                    break
        return found.partition(b"\n")[0].decode()


@asynccontextmanager
async def serving(
    site: GatewaySite,
    authority: Authority,
    *,
    reviewer: Reviewer | None = None,
    certificate: str = "apiserver",
    owner: str = "alice",
    **settings: Any,
) -> AsyncIterator[Serving]:
    """A node of one site by default; `certificate` "": the client shows none."""
    chosen = KubeletSettings(
        **{"nodes": (NODE,), "host": "127.0.0.1", "port": 0, "client_ca": authority.certificate, **settings}
    )
    async with AsyncClient(Site(site.name, site.url, site.token(owner)), patience=5) as client:
        shelf = Shelf(dict.fromkeys(chosen.nodes, client))
        server = KubeletServer(shelf, chosen, served(authority), lambda: "own_metric 1\n", reviewer)
        running = asyncio.create_task(server.serve())
        try:
            await server.listening.wait()
            url = f"https://127.0.0.1:{server.port}"
            tls = trusted(authority, certificate)
            connector = aiohttp.TCPConnector(ssl=tls)
            async with aiohttp.ClientSession(url, connector=connector) as http:
                yield Serving(server, shelf, client, http, tls, url)
            if shelf.pods:
                await client.delete(list(shelf.pods), grace=0)
        finally:
            running.cancel()
            await asyncio.wait({running})


def served(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.directory / "kubelet.crt", authority.directory / "kubelet.key")
    return context


def trusted(authority: Authority, certificate: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if certificate:
        context.load_cert_chain(authority.directory / f"{certificate}.crt", authority.directory / f"{certificate}.key")
    return context


async def until(condition: Callable[[], Awaitable[object]], what: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while not await condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited {PATIENCE:g} s in vain: {what}") from None
