"""The real kubectl in a namespace, and what its users type."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from tests.sites.site import RUNTIME, wait_until
from tests.testbed.kubernetes import ControlPlane

Json = dict[str, Any]
PATIENCE = 60.0
PROCESS = {RUNTIME: "process"}
"""The annotation without which a site that has no container runtime refuses a pod with an image."""


class Kubectl:
    """Call it with kubectl's arguments; `namespace` "" is whatever they say."""

    def __init__(self, plane: ControlPlane, namespace: str = "", environ: Mapping[str, str] | None = None) -> None:
        self.plane, self.namespace = plane, namespace
        self._environ = dict(environ or {})

    def __call__(
        self, *words: str, check: bool = True, stdin: str | None = None, timeout: float = PATIENCE
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=self.environ,
            check=False,
            timeout=timeout,
        )
        said = f"kubectl {' '.join(words)} exited with {done.returncode}: {done.stderr}{done.stdout}"
        assert not check or done.returncode == 0, said
        return done

    def command(self, *words: str) -> list[str]:
        return self.plane.command(*([f"--namespace={self.namespace}"] if self.namespace else []), *words)

    @property
    def environ(self) -> dict[str, str]:
        return {**self.plane.environ, **self._environ}

    def with_environ(self, **environ: str) -> Kubectl:
        return Kubectl(self.plane, self.namespace, environ)

    # ---- objects ---------------------------------------------------------------------------------------------------

    def create(self, *documents: Mapping[str, Any]) -> None:
        self("create", "-f", "-", stdin="\n---\n".join(map(json.dumps, documents)))

    def get(self, kind: str, name: str) -> Json:
        found: Json = json.loads(self("get", kind, name, "-o", "json").stdout)
        return found

    def list(self, kind: str, *words: str) -> list[Json]:
        found: list[Json] = json.loads(self("get", kind, *words, "-o", "json").stdout)["items"]
        return found

    def gone(self, kind: str, name: str) -> bool:
        return self("get", kind, name, "--ignore-not-found", "-o", "name").stdout == ""

    def run(self, name: str, script: str, **spec: Any) -> None:
        """A pod of one container `main`; `container=` is laid over it, the rest is spec."""
        self.create(pod(name, script, **spec))

    def running(self, name: str, script: str = "trap 'exit 0' TERM; sleep 1000 & wait", **spec: Any) -> None:
        """Returns when the pod is ready."""
        self.run(name, script, **spec)
        self.wait(f"pod/{name}", "condition=Ready")

    def wait(self, what: str, condition: str, timeout: float = PATIENCE) -> None:
        self("wait", what, f"--for={condition}", f"--timeout={timeout:g}s", timeout=timeout + 30)

    def ended(self, name: str) -> Json:
        """The pod, once it has succeeded or failed."""
        seen: list[Json] = []

        def has() -> bool:
            seen[:] = [self.get("pod", name)]
            return seen[0]["status"]["phase"] in ("Succeeded", "Failed")

        try:
            wait_until(has, f"pod {name} ends", PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}: {json.dumps(seen[0]['status'])}") from None
        return seen[0]

    def logged(self, name: str, *words: str) -> str:
        return self("logs", name, *words).stdout

    # ---- conversations ---------------------------------------------------------------------------------------------

    @contextmanager
    def popen(self, *words: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Killed when the block is left."""
        with subprocess.Popen(self.command(*words), env=self.environ, **options) as process:
            try:
                yield process
            finally:
                process.kill()

    def terminal(self, *words: str) -> Terminal:
        return Terminal(self.command(*words), self.environ)


class Terminal:
    """A program in a terminal of its own, 30 lines of 100 columns. A context manager: it is killed in the end."""

    def __init__(self, argv: list[str], environ: Mapping[str, str]) -> None:
        self._mine, theirs = pty.openpty()
        self.resize(30, 100)
        try:
            self._process = subprocess.Popen(
                ["setsid", "--ctty", *argv],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env={**environ, "TERM": "xterm"},
            )
        finally:
            os.close(theirs)
        self._seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._mine)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._mine, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._mine, text.encode())

    def until(self, text: str) -> str:
        """What was shown since the last call, up to `text`."""
        deadline = time.monotonic() + PATIENCE
        while text not in self._seen:
            assert time.monotonic() < deadline, f"waited in vain for {text!r}, saw {self._seen!r}"
            if not select.select([self._mine], [], [], 1.0)[0]:
                continue
            try:
                self._seen += os.read(self._mine, 65536).decode(errors="replace")
            except OSError:  # nobody has the other side open any more
                raise AssertionError(f"it ended without {text!r}, saw {self._seen!r}") from None
        shown, _, self._seen = self._seen.partition(text)
        return shown + text

    def wait(self) -> int:
        """Its exit status; what it shows until then is read and forgotten, as a full terminal would hold it up."""
        deadline = time.monotonic() + PATIENCE
        while self._process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end, saw {self._seen!r}"
            if select.select([self._mine], [], [], 0.05)[0]:
                try:
                    self._seen += os.read(self._mine, 65536).decode(errors="replace")
                except OSError:
                    break
        return self._process.wait(PATIENCE)


def pod(name: str, script: str, **spec: Any) -> Json:
    """It ends at once when it is told to, and is not restarted."""
    container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", script], **spec.pop("container", {})}
    whole = {"restartPolicy": "Never", "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": PROCESS}, "spec": whole}
