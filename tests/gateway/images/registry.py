"""A registry in a few lines, at the outermost edge of the tests: what a real one answers over HTTP, with its token
service, an index of two architectures, and an image of one layer."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = {
    "Entrypoint": ["/bin/tool"],
    "Cmd": ["serve"],
    "Env": ["A=1"],
    "WorkingDir": "/work",
    "StopSignal": "SIGUSR1",
}
USER, PASSWORD = "alice", "looking-glass"


def sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def packed(content: Any) -> tuple[str, bytes]:
    data = json.dumps(content).encode()
    return sha(data), data


def layer(files: Mapping[str, bytes]) -> bytes:
    """A compressed archive."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(made.getvalue(), mtime=0)


class FakeRegistry:
    """`scheme` is the challenge: "", "Basic" or "Bearer"; `users` may come in then. `objects` by digest, `tags` by
    name; `image` is the JSON of the last one published.

    `asked` lists what was asked for; `resolved` is set when a configuration was. `busy` are answers to give first:
    a status and a Retry-After; `cuts` the number of layers to break off; `elsewhere` where layers are to be had.
    """

    def __init__(self) -> None:
        self.scheme = ""
        self.users = {USER: PASSWORD}
        self.address = ""
        self.asked: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.resolved = asyncio.Event()
        self.objects: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.busy: list[tuple[int, str]] = []
        self.cuts = 0
        self.elsewhere = ""
        self.layers: set[str] = set()
        self.image = b""
        self.digest = self.publish("1", CONFIG)

    def add(self, content: Any) -> str:
        digest, data = packed(content)
        self.objects[digest] = data
        return digest

    def add_layer(self, data: bytes, kind: str = LAYER) -> dict[str, Any]:
        self.objects[sha(data)] = data
        self.layers.add(sha(data))
        return {"mediaType": kind, "digest": sha(data), "size": len(data)}

    def manifest(self, config: Any, layers: Sequence[Any], **image: Any) -> str:
        content = {"os": "linux", "architecture": ARCHITECTURE, "config": config, **image}
        digest = self.add(content)
        self.image = self.objects[digest]
        described = {"digest": digest, "size": len(self.objects[digest])}
        return self.add({"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": list(layers)})

    def publish(self, tag: str, config: Any, files: Mapping[str, bytes] | None = None) -> str:
        """The digest of this architecture's manifest."""
        manifest = self.manifest(config, [self.add_layer(layer(files or {"bin/tool": b"tool"}))])
        entries = [
            {"digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "s390x"}},
            {"digest": manifest, "platform": {"os": "linux", "architecture": ARCHITECTURE}},
        ]
        self.tags[tag] = self.add({"mediaType": INDEX, "manifests": entries})
        return manifest

    async def answer(self, request: Request) -> Response:
        version = request.path_params["version"]
        self.asked.append(f"{request.method} {version}")
        self.headers.append(request.headers)
        if self.busy:
            status, after = self.busy.pop(0)
            return Response(status_code=status, headers={"retry-after": after} if after else {})
        if self.scheme and not self._allowed(request):
            return Response(status_code=401, headers={"www-authenticate": self._challenge})
        digest = self.tags.get(version, version)
        data = self.objects.get(digest)
        if data is None or request.path_params["name"] != "lab/tool":
            return JSONResponse({"errors": []}, 404)
        if "/blobs/" in request.url.path:
            return self._blob(request, digest, data)
        return Response(data, media_type=MANIFEST, headers={"docker-content-digest": digest})

    def _blob(self, request: Request, digest: str, data: bytes) -> Response:
        if digest not in self.layers:
            self.resolved.set()
            return Response(data)
        if self.elsewhere:
            return Response(status_code=307, headers={"location": f"{self.elsewhere}{request.url.path}"})
        start = int(request.headers.get("range", "bytes=0-")[6:-1])
        headers = {"content-length": str(len(data) - start)}
        chunks = [data[start : start + 20], data[start + 20 :]]
        self.cuts -= 1
        return StreamingResponse(self._sent(chunks, self.cuts >= 0), 206 if start else 200, headers)

    def _sent(self, chunks: Sequence[bytes], cut: bool) -> Iterator[bytes]:
        yield chunks[0]
        if cut:
            raise ConnectionResetError("cut")
        yield chunks[1]

    @property
    def _challenge(self) -> str:
        bearer = f'Bearer realm="http://{self.address}/token",service="here",scope="repository:lab/tool:pull"'
        return 'Basic realm="registry"' if self.scheme == "Basic" else bearer

    def _allowed(self, request: Request) -> bool:
        given = request.headers.get("authorization")
        return given in (self._basic if self.scheme == "Basic" else {f"Bearer {user}" for user in self.users})

    @property
    def _basic(self) -> dict[str, str]:
        """Users by the header they send."""
        return {f"Basic {base64.b64encode(f'{one}:{word}'.encode()).decode()}": one for one, word in self.users.items()}

    async def token(self, request: Request) -> Response:
        user = self._basic.get(request.headers.get("authorization", ""))
        if user is None or request.query_params["service"] != "here":
            return Response(status_code=401)
        return JSONResponse({"token": user})

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
