"""What tests may ask of a site, whatever batch system is behind its gateway."""

from __future__ import annotations

import copy
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from farnode import Client, Site

OWNERS = ("alice", "bob")
"""Who has a token of role user; `ADMIN` is the gateway's own account."""
ADMIN = "admin"
MARK = "FARNODE_NONCE"
"""The variable that every process of a container carries."""
RUNNER = "runner.pyz"
RUNTIME = "farnode.io/runtime"
DEDICATED = "farnode.io/dedicated"


def storage(claims: str) -> dict[str, Any]:
    """The setting of that name: a read-only directory every system has, and a default class below `claims`."""
    scratch = {"path": f"{claims}/{{owner}}/{{namespace}}/{{claim}}", "default": True}
    return {"hostPaths": [{"path": "/usr/share", "readOnly": True}], "storageClasses": {"scratch": scratch}}


@dataclass(frozen=True, slots=True)
class SiteProcess:
    """A process that farnode started at a site; `node` "" is where the gateway is. `pid` is as seen there."""

    node: str
    pid: int
    cmdline: tuple[str, ...]
    environ: Mapping[str, str]

    @property
    def is_runner(self) -> bool:
        return any(word.endswith(RUNNER) for word in self.cmdline)


def wait_until(condition: Callable[[], object], what: str, timeout: float = 30.0) -> None:
    """Returns when `condition` holds; `what` names it in the failure."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain: {what}")
        time.sleep(0.02)


class GatewaySite(ABC):
    """A gateway and the place it serves. A context manager: when it is left nothing of it lives any more.

    `state` and `spool` are paths of this machine. `gpus` are the devices of each node by type.
    """

    name: str
    capabilities: frozenset[str]
    """Of `image` (containers have a root file system), `mounts` (volumes can be mounted), `gpus`, `isolation`
    (containers do not see each other's processes), `sharing` (unless a pod wants that)."""
    gpus: Mapping[str, Mapping[str, int]]
    nodes: int
    patience: float
    """Seconds within which a pod that waits for nothing else has ended."""
    state: Path
    spool: Path
    log: Path

    def __init__(self) -> None:
        self._gateway: subprocess.Popen[Any] | None = None
        self._tokens: dict[str, Path] = {}

    # ---- the gateway as a process ----------------------------------------------------------------------------------

    @abstractmethod
    def _launch(self) -> subprocess.Popen[Any]:
        """Starts the gateway, its output going to `log`."""

    @abstractmethod
    def _issue(self, owner: str) -> str:
        """A token of role user."""

    @property
    @abstractmethod
    def pid(self) -> int:
        """The gateway's, as seen from this machine."""

    def start(self) -> None:
        """Starts the gateway and waits until it knows what the site offers."""
        assert self._gateway is None, "the gateway is running"
        self._gateway = self._launch()
        wait_until(lambda: self._lives() and self.token(ADMIN).exists(), "the gateway writes its token", 60)
        with self.client(ADMIN, patience=60) as client:
            wait_until(lambda: self._lives() and client.site().get("offers"), "the gateway knows its site's offers", 60)

    def _lives(self) -> bool:
        assert self.is_running, f"the gateway ended:\n{self.log.read_text()[-4000:]}"
        return True

    def stop(self, number: int = signal.SIGTERM, timeout: float = 30.0) -> int:
        """Ends the gateway by a signal; its exit status. Pods go on."""
        gateway, self._gateway = self._gateway, None
        assert gateway is not None, "the gateway is not running"
        gateway.send_signal(number)
        return gateway.wait(timeout)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def restart(self, number: int = signal.SIGTERM) -> None:
        self.stop(number)
        self.start()

    @property
    def is_running(self) -> bool:
        return self._gateway is not None and self._gateway.poll() is None

    # ---- its clients -----------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"unix:{self.state / 'gateway.sock'}"

    def token(self, owner: str) -> Path:
        """The file with the owner's token, issued when it is first asked for."""
        if owner == ADMIN:
            return self.state / "token"
        if owner not in self._tokens:
            path = self._scratch() / f"{owner}.token"
            path.touch(0o600)
            path.write_text(self._issue(owner))
            self._tokens[owner] = path
        return self._tokens[owner]

    def client(self, owner: str = "alice", patience: float = 60.0) -> Client:
        """A new client, to be closed by who asked for it."""
        return Client(Site(self.name, self.url, self.token(owner)), patience=patience)

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """A request as any program may make it, without our client; its answer. `token`: alice's when None."""
        token = token or self.token("alice").read_text().strip()
        with httpx.Client(transport=httpx.HTTPTransport(uds=self.url.removeprefix("unix:"))) as http:
            headers = {"Authorization": f"Bearer {token}"}
            answer = http.request(method, f"http://gateway{path}", json=body, headers=headers)
        return answer.json()

    @abstractmethod
    def _scratch(self) -> Path:
        """A directory of this machine that only its user may open."""

    def now(self) -> float:
        """Seconds since the epoch by the clock of the site's nodes."""
        return time.time()

    # ---- what pods are there ---------------------------------------------------------------------------------------

    def image(self, name: str) -> str:
        """The full name of a test image, such as `busybox:1`, at this site."""
        return name

    def fitted(
        self, documents: Iterable[Mapping[str, Any]], runtime: str | None = None, *, dedicated: bool = False
    ) -> list[dict[str, Any]]:
        """Manifests with the names test images have here; `runtime` and `dedicated` become each pod's annotations."""
        asked = {**({RUNTIME: runtime} if runtime else {}), **({DEDICATED: "true"} if dedicated else {})}
        found = [copy.deepcopy(dict(document)) for document in documents]
        for pod in (document for document in found if document.get("kind") == "Pod"):
            if asked:
                pod["metadata"]["annotations"] = {**asked, **pod["metadata"].get("annotations", {})}
            spec = pod.get("spec") or {}
            for volume in spec.get("volumes") or ():
                if "image" in volume:
                    volume["image"]["reference"] = self.image(volume["image"]["reference"])
            for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
                if "image" in container:
                    container["image"] = self.image(container["image"])
        return found

    # ---- what lives there ------------------------------------------------------------------------------------------

    @abstractmethod
    def processes(self) -> Sequence[SiteProcess]:
        """Every process that farnode started at the site: runners, and containers' by their mark."""

    @abstractmethod
    def command_lines(self) -> Sequence[str]:
        """Of every process at the site, also of those that shook off their mark."""

    def close(self) -> None:
        """Ends every pod, allocation and the gateway, and asserts that nothing is left."""
        if not self.is_running:
            self._gateway = None
            self.start()
        with self.client(ADMIN) as client:
            client.stop()
            wait_until(lambda: not client.site()["allocations"], "all allocations end", self.patience)
        wait_until(lambda: not self.processes(), f"nothing is left of {self.name}: {self.processes()}", self.patience)
        assert self.stop() == 0, self.log.read_text()[-4000:]
        assert "Traceback" not in self.log.read_text(), self.log.read_text()[-8000:]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            if self.is_running:
                self.kill()
            self._clear()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        finally:
            if self.is_running:
                self.kill()
            self._clear()

    @abstractmethod
    def _clear(self) -> None:
        """Kills whatever `close` could not end."""
