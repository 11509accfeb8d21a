"""A real control plane on loopback, with nothing pretended: what `kubectl` sees here it sees anywhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.testbed import host
from tests.testbed.kubernetes import kubeconfig
from tests.testbed.kubernetes.arguments import (
    APISERVER,
    COMPONENTS,
    CONTROLLERS,
    ETCD,
    PEERS,
    SCHEDULER,
    SERVER_NAMES,
    Arguments,
    Settings,
)
from tests.testbed.kubernetes.authority import Authority, signing_key
from tests.testbed.kubernetes.component import Component, port, reserve
from tests.testbed.kubernetes.programs import programs

ADMIN = "admin"


class ControlPlane:
    """etcd, API server, controller manager and scheduler. A context manager: when it is left nothing of it lives.

    `directory` holds the authority (`ca.crt`, `ca.key`), pairs `NAME.crt`, `NAME.key` of all it issued, among them
    `kubelet-client`, which the API server shows to kubelets, and a log of each component, `NAME.log`.
    """

    def __init__(
        self,
        feature_gates: Mapping[str, bool] | None = None,
        *,
        verify_kubelets: bool = False,
        options: Sequence[str] = (),
        controllers: Sequence[str] = (),
    ) -> None:
        self.programs = programs()
        self.directory = Path(tempfile.mkdtemp(prefix="fnk-"))
        self._ports = {name: reserve() for name in (*COMPONENTS, PEERS)}
        self._starter = ThreadPoolExecutor(1)
        self._authority = Authority(self.directory)
        settings = Settings(dict(feature_gates or {}), verify_kubelets, options, controllers)
        self.components = self._components(settings)
        self.started_in = 0.0
        """Seconds from nothing to ready."""

    def _components(self, settings: Settings) -> dict[str, Component]:
        arguments = Arguments(self.directory, {name: port(held) for name, held in self._ports.items()}, settings)
        return {
            name: Component(
                name,
                [str(self.programs / name), *arguments.of(name)],
                arguments.health(name),
                self.authority,
                self.directory / f"{name}.log",
                self._starter,
            )
            for name in COMPONENTS
        }

    # ---- as a whole ------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._bring_up()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _bring_up(self) -> None:
        began = time.monotonic()
        self._issue()
        self.start(ETCD)
        self.start(APISERVER)
        for name in (CONTROLLERS, SCHEDULER):
            self.components[name].start()
        for name in (CONTROLLERS, SCHEDULER):
            self.components[name].wait()
        host.wait_until(self._has_accounts, "the default namespace has its service account")
        self.started_in = time.monotonic() - began

    def _issue(self) -> None:
        signing_key(self.directory)
        self._authority.issue("serving", "kube-apiserver", addresses=SERVER_NAMES)
        self._authority.issue("kubelet-client", "kube-apiserver-kubelet-client", ["system:masters"])
        self.identity(ADMIN, ["system:masters"])
        for name in (CONTROLLERS, SCHEDULER):
            self.identity(f"system:{name}")

    def _has_accounts(self) -> bool:
        return self.kubectl("get", "serviceaccount", "default", check=False).returncode == 0

    def _end(self) -> None:
        for component in reversed(self.components.values()):
            if component.is_running:
                component.kill()
        self._starter.shutdown()
        for held in self._ports.values():
            held.close()
        shutil.rmtree(self.directory)

    # ---- its parts -------------------------------------------------------------------------------------------------

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """One of :data:`COMPONENTS` is gone when this returns; etcd's data stays."""
        self.components[name].kill(number)

    def start(self, name: str) -> None:
        """Returns when it is ready."""
        self.components[name].start()
        self.components[name].wait()

    # ---- its users -------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{port(self._ports[APISERVER])}"

    @property
    def authority(self) -> Path:
        """The certificate of who issued all others."""
        return self._authority.certificate

    @property
    def kubeconfig(self) -> Path:
        """Of a cluster administrator."""
        return self.directory / f"{ADMIN}.kubeconfig"

    def identity(self, user: str, groups: Sequence[str] = ()) -> Path:
        """The kubeconfig of a user known by a client certificate, e.g. `system:node:site` of `system:nodes`."""
        file = user.replace(":", "-").replace("/", "-")
        self._authority.issue(file, user, groups)
        shown = kubeconfig.certificate(self.directory, file)
        return kubeconfig.write(self.directory / f"{file}.kubeconfig", self.url, self.authority, shown)

    def service_account(self, namespace: str, name: str) -> Path:
        """The kubeconfig of a service account that exists, with a token for an hour."""
        token = self.kubectl("create", "token", name, "--namespace", namespace, "--duration=1h").stdout.strip()
        path = self.directory / f"account-{namespace}-{name}.kubeconfig"
        return kubeconfig.write(path, self.url, self.authority, {"token": token}, namespace)

    def command(self, *argv: str) -> list[str]:
        """`kubectl …`, to be run in :attr:`environ`."""
        return [str(self.programs / "kubectl"), *argv]

    @property
    def environ(self) -> dict[str, str]:
        """For `kubectl`, and programs that read `KUBECONFIG` as it does, as the administrator."""
        cache = {"KUBECACHEDIR": str(self.directory / "kubectl-cache"), "HOME": str(self.directory)}
        return {**os.environ, **cache, "KUBECONFIG": str(self.kubeconfig)}

    def kubectl(
        self, *argv: str, check: bool = True, stdin: str | None = None, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*argv),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=self.environ,
            check=False,
            timeout=timeout,
        )
        if check and done.returncode:
            raise host.TestbedError(f"kubectl {' '.join(argv)} exited with {done.returncode}: {done.stderr.strip()}")
        return done
