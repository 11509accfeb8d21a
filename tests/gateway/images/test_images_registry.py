"""A registry as sites run it: docker-registry with a password, and a certificate of the site's own authority."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import httpx
import pytest

from farnode.gateway.config import Images
from farnode.gateway.images import ImageError, ImageStore
from farnode.gateway.images.credentials import Login
from tests.gateway.images.registry import ARCHITECTURE, CONFIG, layer, packed, sha
from tests.gateway.images.user import User
from tests.testbed import certificates
from tests.testbed.registry import AUTH, HTPASSWD, PASSWORD, TLS, USER
from tests.testbed.registry import CONFIG as SERVER

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("docker-registry") is None, reason="needs Debian's docker-registry"),
]
OCI = {
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "layer": "application/vnd.oci.image.layer.v1.tar+gzip",
}
DOCKER = {
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}


@dataclass(frozen=True)
class Site:
    """A registry at `address`, whose certificate `ca_file` vouches for."""

    address: str
    ca_file: Path

    def images(self, tmp_path: Path, **access: Any) -> User:
        trusted = {"registries": {self.address: {"ca_file": self.ca_file, **access}}}
        return User(ImageStore(Images.model_validate(trusted), tmp_path / "images"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    passwords, directory = tmp_path / "htpasswd", tmp_path / "tls"
    passwords.write_text(HTPASSWD + "\n")
    certificates.issue(directory, "127.0.0.1")
    settings = tmp_path / "registry.yml"
    server = SERVER.format(storage=tmp_path / "storage", address=address, tls=TLS.format(directory=directory))
    settings.write_text(server + AUTH.format(path=passwords))
    with subprocess.Popen(["docker-registry", "serve", str(settings)], stdout=DEVNULL, stderr=DEVNULL) as process:
        try:
            yield Site(address, directory / "ca.pem")
        finally:
            process.terminate()


def publish(site: Site, kinds: dict[str, str]) -> None:
    """An image of one layer; the first attempts wait for the server to listen."""
    context = httpx.create_ssl_context()
    context.load_verify_locations(site.ca_file)
    repository = f"https://{site.address}/v2/lab/tool"
    transport = httpx.HTTPTransport(verify=context, retries=6)
    with httpx.Client(auth=(USER, PASSWORD), transport=transport) as http:
        blobs = {
            "config": packed({"architecture": ARCHITECTURE, "os": "linux", "config": CONFIG})[1],
            "layer": layer({"bin/tool": b"tool"}),
        }
        described = {}
        for part, data in blobs.items():
            upload = http.post(f"{repository}/blobs/uploads/")
            place = httpx.URL(upload.headers["location"]).copy_merge_params({"digest": sha(data)})
            assert http.put(place, content=data).status_code == 201
            described[part] = {"mediaType": kinds[part], "digest": sha(data), "size": len(data)}
        manifest = {
            "schemaVersion": 2,
            "mediaType": kinds["manifest"],
            "config": described["config"],
            "layers": [described["layer"]],
        }
        headers = {"content-type": kinds["manifest"]}
        assert http.put(f"{repository}/manifests/1", headers=headers, content=packed(manifest)[1]).status_code == 201


@pytest.mark.parametrize("kinds", [OCI, DOCKER], ids=["oci", "docker"])
async def test_a_private_image_over_tls(site: Site, tmp_path: Path, kinds: dict[str, str]) -> None:
    publish(site, kinds)
    name, user = f"{site.address}/lab/tool:1", site.images(tmp_path)
    user.logins = (Login(site.address, USER, PASSWORD),)
    image = await user.prepare(name, "Always", "directory")
    assert image.entrypoint == ("/bin/tool",)
    assert (tmp_path / "images" / image.digest[7:] / "bin/tool").read_text() == "tool"
    assert await user.prepare(name.replace(":1", f"@{image.digest}"), "IfNotPresent", "directory")
    user.logins = (Login(site.address, "bob", "x"),)
    with pytest.raises(ImageError, match="access denied to the login 'bob'"):
        await user.prepare(name, "IfNotPresent", "directory")


async def test_an_authority_nobody_knows(site: Site, tmp_path: Path) -> None:
    publish(site, OCI)
    words = rf"CERTIFICATE_VERIFY_FAILED.*an authority of the site's own goes into images\.registries\.{site.address}"
    with pytest.raises(ImageError, match=words):
        await site.images(tmp_path, ca_file=None).prepare(f"{site.address}/lab/tool:1", "Always")
