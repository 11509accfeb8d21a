"""A whole cluster on one machine: control plane, a site without a batch system, and the virtual node between them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from farnode.gateway.token_file import TokenFile
from farnode.gateway.tokens import Tokens
from tests.node import chart
from tests.node.kubectl import Kubectl
from tests.sites.embedded import EmbeddedSite
from tests.sites.site import wait_until
from tests.testbed.kubernetes import ControlPlane

CLUSTER = "testbed"
"""The cluster's name at the site."""
NODE = "site"
READY = 60.0


class NodeProcess:
    """`farnode node`. `settings` are merged over its configuration; `name` tells it from others of the same site."""

    def __init__(
        self,
        plane: ControlPlane,
        site: EmbeddedSite,
        identity: Path,
        settings: Mapping[str, Any] | None = None,
        name: str = "node",
    ) -> None:
        self.plane, self.site = plane, site
        self.directory = site.directory / name
        self.directory.mkdir(mode=0o700)
        self.log = self.directory / "log"
        self.config = self.directory / "node.yaml"
        self.address = _own_address()
        self.port = _free_port(self.address)
        self.config.write_text(yaml.safe_dump({**self._configuration(identity), **(settings or {})}))
        self._process: subprocess.Popen[bytes] | None = None

    def _configuration(self, identity: Path) -> dict[str, Any]:
        token = self.directory / "token"
        token.touch(0o600)
        token.write_text(Tokens(TokenFile(self.site.state)).issue(CLUSTER, "cluster"))
        return {
            "kubernetes": {"kubeconfig": str(identity)},
            "kubelet": {
                "listen": f"{self.address}:{self.port}",
                "address": self.address,
                "clientCaFile": str(self.plane.authority),
            },
            "state": str(self.directory / "state"),
            # No taint: what is scheduled without a word about it comes here, as there is no other node.
            "nodes": [{"name": NODE, "site": {"url": self.site.url, "tokenFile": str(token)}, "taints": []}],
        }

    @property
    def pid(self) -> int:
        assert self._process is not None, "the node does not run"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        assert self._process is None, "the node runs"
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "farnode.cli", "node", "-c", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
            )

    def lives(self) -> bool:
        assert self.is_running, f"the node ended:\n{self.said()}"
        return True

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-6000:]

    def stop(self, number: int = signal.SIGTERM, timeout: float = 30.0) -> int:
        """Ends it by a signal; its exit status. Pods go on."""
        process, self._process = self._process, None
        assert process is not None, "the node does not run"
        process.send_signal(number)
        try:
            return process.wait(timeout)
        except BaseException:
            process.kill()
            raise

    def kill(self) -> None:
        self.stop(signal.SIGKILL)


class Stack:
    """A context manager: when it is left, nothing of it lives, and no process had anything to complain of.

    `plain`: the API server speaks SPDY to the node, which shows a certificate that the cluster's authority issued;
    else WebSockets, and the certificate is not looked at.
    """

    def __init__(self, *, plain: bool = False) -> None:
        self.plain = plain
        self._open = ExitStack()
        self._namespaces = 0

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            gates = {"ExtendWebSocketsToKubelet": False} if self.plain else {}
            self.plane = opening.enter_context(ControlPlane(gates, verify_kubelets=self.plain))
            self.site = opening.enter_context(EmbeddedSite())
            self.kubectl = Kubectl(self.plane)
            self.node = NodeProcess(self.plane, self.site, chart.identity(self.plane, [NODE]))
            opening.callback(self._end_node)
            self.node.start()
            wait_until(self._is_ready, f"the node is Ready:\n{self.node.said()}", READY)
            if self.plain:
                self._approve()
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if made := [f"test-{number + 1}" for number in range(self._namespaces)]:
                self.kubectl("delete", "namespaces", "--ignore-not-found", "--timeout=120s", *made, timeout=150)
        finally:
            self._open.close()

    def namespace(self) -> Kubectl:
        """A new one, with its service account."""
        self._namespaces += 1
        name = f"test-{self._namespaces}"
        self.kubectl("create", "namespace", name)
        kubectl = Kubectl(self.plane, name)
        wait_until(lambda: kubectl("get", "serviceaccount", "default", check=False).returncode == 0, "its account")
        return kubectl

    def _is_ready(self) -> bool:
        condition = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        said = self.kubectl("get", "node", NODE, "-o", condition, check=False).stdout
        return self.node.lives() and said == "True"

    def _approve(self) -> None:
        """The node's certificate, as an administrator does; then the kubelet API answers with it."""

        def waiting() -> list[str]:
            return self.kubectl("get", "csr", "-o", "name").stdout.split()

        wait_until(waiting, f"the node asks for a certificate:\n{self.node.said()}", READY)
        self.kubectl("certificate", "approve", *waiting())
        proxied = f"/api/v1/nodes/{NODE}/proxy/healthz"
        wait_until(
            lambda: self.kubectl("get", "--raw", proxied, check=False).returncode == 0, "the node shows it", READY
        )

    def _end_node(self) -> None:
        if self.node.is_running:
            assert self.node.stop() == 0, self.node.said()
        with suppress(FileNotFoundError):
            assert "Traceback" not in self.node.log.read_text(), self.node.said()
            denied = [line for line in self.node.log.read_text().splitlines() if 'forbidden: User "' in line]
            assert not denied, f"the chart's account may not do all that the node does: {denied}"


def _own_address() -> str:
    """Of this machine, and no loopback address, to which the API server would pass no `kubectl get --raw …/proxy/…`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent
        address: str = probe.getsockname()[0]
    return address


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
    return port
