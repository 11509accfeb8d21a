"""A registry in a few lines, at the outermost edge of the tests: what a real one answers over HTTP, with its token
service, an index of two architectures, and the configuration of one image."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = {"Entrypoint": ["/bin/tool"], "Cmd": ["serve"], "Env": ["A=1"], "WorkingDir": "/work"}
USER, PASSWORD = "alice", "looking-glass"


def packed(content: Any) -> tuple[str, bytes]:
    data = json.dumps(content).encode()
    return f"sha256:{hashlib.sha256(data).hexdigest()}", data


class FakeRegistry:
    """`scheme` is the challenge: "", "Basic" or "Bearer". `objects` by digest, `tags` by name;
    `resolved` is set when a configuration was asked for."""

    def __init__(self) -> None:
        self.scheme = ""
        self.address = ""
        self.requests: list[str] = []
        self.resolved = asyncio.Event()
        self.objects: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.digest = self.publish("1", CONFIG)

    def add(self, content: Any) -> str:
        digest, data = packed(content)
        self.objects[digest] = data
        return digest

    def publish(self, tag: str, config: Any) -> str:
        """The digest of this architecture's manifest."""
        manifest = self.add({"config": {"digest": self.add({"config": config})}, "layers": []})
        entries = [
            {"digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "s390x"}},
            {"digest": manifest, "platform": {"os": "linux", "architecture": ARCHITECTURE}},
        ]
        self.tags[tag] = self.add({"mediaType": INDEX, "manifests": entries})
        return manifest

    async def answer(self, request: Request) -> Response:
        self.requests.append(request.url.path)
        if "/blobs/" in request.url.path:
            self.resolved.set()
        if self.scheme and not self._allowed(request):
            challenge = {
                "Basic": 'Basic realm="registry"',
                "Bearer": f'Bearer realm="http://{self.address}/token",service="here",scope="repository:lab/tool:pull"',
            }[self.scheme]
            return Response(status_code=401, headers={"www-authenticate": challenge})
        version = request.path_params["version"]
        data = self.objects.get(self.tags.get(version, version))
        if data is None or request.path_params["name"] != "lab/tool":
            return JSONResponse({"errors": []}, 404)
        return Response(data, media_type="application/octet-stream")

    def _allowed(self, request: Request) -> bool:
        wanted = self._basic if self.scheme == "Basic" else "Bearer token"
        return request.headers.get("authorization") == wanted

    @property
    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    async def token(self, request: Request) -> Response:
        if request.headers.get("authorization") != self._basic or request.query_params["service"] != "here":
            return Response(status_code=401)
        return JSONResponse({"token": "token"})

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        app = Starlette(
            routes=[
                Route("/token", self.token),
                Route("/v2/{name:path}/manifests/{version}", self.answer),
                Route("/v2/{name:path}/blobs/{version}", self.answer),
            ]
        )
        server = _Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
        task = asyncio.create_task(server.serve())
        await server.up.wait()
        self.address = f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    def capture_signals(self) -> Any:
        return nullcontext()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.up.set()
