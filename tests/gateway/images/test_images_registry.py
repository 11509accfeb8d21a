"""A registry as sites run it: docker-registry with a password."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import httpx
import pytest

from farnode.gateway.images import ImageError
from farnode.gateway.images.credentials import Login
from farnode.gateway.images.reference import parse
from farnode.gateway.images.registry import Registry
from tests.gateway.images.registry import CONFIG, packed
from tests.testbed.registry import AUTH, HTPASSWD, PASSWORD, USER
from tests.testbed.registry import CONFIG as SERVER

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("docker-registry") is None, reason="needs Debian's docker-registry"),
]
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    passwords = tmp_path / "htpasswd"
    passwords.write_text(HTPASSWD + "\n")
    settings = tmp_path / "registry.yml"
    settings.write_text(SERVER.format(storage=tmp_path / "storage", address=address) + AUTH.format(path=passwords))
    with subprocess.Popen(["docker-registry", "serve", str(settings)], stdout=DEVNULL, stderr=DEVNULL) as server:
        try:
            publish(f"http://{address}/v2/lab/tool")
            yield address
        finally:
            server.terminate()


def publish(repository: str) -> None:
    """An image without layers; the first attempts wait for the server to listen."""
    http = httpx.Client(auth=(USER, PASSWORD), transport=httpx.HTTPTransport(retries=6))
    config, data = packed({"architecture": "amd64", "os": "linux", "config": CONFIG})
    with http:
        upload = http.post(f"{repository}/blobs/uploads/")
        place = httpx.URL(upload.headers["location"]).copy_merge_params({"digest": config})
        assert http.put(place, content=data).status_code == 201
        headers = {"content-type": MANIFEST}
        put = http.put(f"{repository}/manifests/1", headers=headers, content=packed(manifest(config, len(data)))[1])
        assert put.status_code == 201


def manifest(config: str, size: int) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": size},
        "layers": [],
    }


async def test_a_private_image_is_resolved(address: str) -> None:
    async with httpx.AsyncClient() as http:
        registry = Registry(http, [address])
        found = await registry.resolve(parse(f"{address}/lab/tool:1"), Login(address, USER, PASSWORD))
        assert found.config == CONFIG
        again = await registry.resolve(parse(f"{address}/lab/tool@{found.digest}"), Login(address, USER, PASSWORD))
        assert again == found
        with pytest.raises(ImageError, match="access denied to the login 'bob'"):
            await registry.resolve(parse(f"{address}/lab/tool:1"), Login(address, "bob", "x"))
