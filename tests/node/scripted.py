"""An API server that answers what a test says, for what no healthy one does on demand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from aiohttp import web

from farnode.node.kube.api import KubeApi
from farnode.node.kube.connection import Connection

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def script(answers: Sequence[web.Response]) -> AsyncIterator[KubeApi]:
    """One answer after the other, whatever is asked."""
    left = list(answers)

    async def answer(request: web.Request) -> web.StreamResponse:
        return left.pop(0)

    async with served(answer) as api:
        yield api


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[KubeApi]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    with TemporaryDirectory() as directory:
        try:
            async with KubeApi(Connection(_kubeconfig(Path(directory), runner.addresses[0][1]))) as api:
                yield api
        finally:
            await runner.cleanup()


def _kubeconfig(directory: Path, port: int) -> Path:
    path = directory / "config"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document))
    return path
