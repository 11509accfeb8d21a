"""A container registry on this machine, plain HTTP or HTTPS, with small test images in it.

It listens on the hub's address of a site, which the edge reaches through its NAT and compute nodes do not reach.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.testbed import certificates, host, images
from tests.testbed.machine import start_time

log = logging.getLogger(__name__)

PORT = 5070
USER, PASSWORD = "alice", "looking-glass"
HTPASSWD = "alice:$2b$04$LxMOcQ/khJcF2x9jIGPtEOFhdWN07wYe.4imzPB6vs0kp8CQulmha"
CONFIG = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {storage}}}, delete: {{enabled: true}}}}
http: {{addr: "{address}"{tls}}}
"""
TLS = ", tls: {{certificate: {directory}/server.pem, key: {directory}/server.key}}"
AUTH = "auth: {{htpasswd: {{realm: testbed, path: {path}}}}}\n"


@dataclass(slots=True)
class Registry:
    """A registry with the test images; what is pushed to it is gone with its directory.

    With ``login`` it wants :data:`USER` and :data:`PASSWORD`; with ``tls`` it speaks HTTPS only, with a certificate
    that :attr:`ca_file` vouches for.
    """

    directory: Path
    address: str = "127.0.0.1"
    port: int = PORT
    login: bool = False
    tls: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """``host:port``, the first part of an image's name."""
        return f"{self.address}:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority, there once the registry has started with ``tls``."""
        return self._certificates / "ca.pem"

    @property
    def _certificates(self) -> Path:
        return self.directory / f"registry-{self.port}-tls"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _identity(self) -> Path:
        return self.directory / f"registry-{self.port}.pid"

    def start(self) -> None:
        storage = self.directory / f"registry-{self.port}"
        if not storage.exists():
            host.call(["cp", "-a", "--reflink=auto", str(stored_images()), str(storage)])
        self._serve(storage)

    def _serve(self, storage: Path) -> None:
        text = CONFIG.format(storage=storage, address=self.name, tls=self._tls())
        if self.login:
            passwords = self.directory / f"registry-{self.port}.htpasswd"
            passwords.write_text(HTPASSWD + "\n")
            text += AUTH.format(path=passwords)
        config = self.directory / f"registry-{self.port}.yml"
        config.write_text(text)
        with (self.directory / f"registry-{self.port}.log").open("ab") as out:
            self._process = process = subprocess.Popen(
                [str(program()), "serve", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"OTEL_TRACES_EXPORTER": "none"},
                start_new_session=True,
            )
        self._identity.write_text(json.dumps([process.pid, start_time(process.pid)]))
        host.wait_until(lambda: process.poll() is not None or self._answers(), f"the registry on {self.name} answers")
        if process.poll() is not None:
            raise host.TestbedError(f"the registry on {self.name} did not start: {Path(out.name).read_text()[-2000:]}")

    def _tls(self) -> str:
        if not self.tls:
            return ""
        certificates.issue(self._certificates, self.address)
        return TLS.format(directory=self._certificates)

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.address, self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        try:
            pid, started = json.loads(self._identity.read_text())
        except FileNotFoundError:
            return
        if start_time(pid) == started:
            os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)
            self._process = None
        host.wait_until(lambda: start_time(pid) != started, "the registry ends")
        self._identity.unlink()


def names() -> list[str]:
    """The test images."""
    tags = {"busybox": images.BUSYBOX, "python": images.PYTHON}
    return [f"farnode/{name}:{tag}" for name, image in tags.items() for tag in image]


def program() -> Path:
    """Debian's docker-registry, unpacked beside the host's packages: installed, it would start a service."""
    return host.unpack("docker-registry", host.CACHE / "docker-registry") / "usr/bin/docker-registry"


def stored_images() -> Path:
    """Storage of a registry that has the test images; the first call on a machine makes it."""
    recipe = [Path(images.__file__).read_text()]
    ready = host.CACHE / f"images-{hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]}"
    with host.locked("images"):
        if ready.is_dir():
            return ready
        host.require()
        log.info("building test images (once): %s", ready)
        with tempfile.TemporaryDirectory(prefix="images-building-", dir=host.CACHE) as scratch:
            storage = Path(scratch) / "storage"
            storage.mkdir()
            registry = Registry(Path(scratch), port=_free_port())
            registry._serve(storage)
            try:
                for name, (layout, tags) in images.build(Path(scratch)).items():
                    for tag in tags:
                        push(f"oci:{layout}:{tag}", f"{registry.name}/farnode/{name}:{tag}")
            finally:
                registry.stop()
            storage.rename(ready)
    return ready


def push(source: str, image: str) -> None:
    """Copy an image, named as skopeo names it, into a registry of ours."""
    host.call(
        ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", source, f"docker://{image}"]
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
