"""main.go, built once per machine, as a process that answers questions."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.testbed import host

SOURCES = Path(__file__).parent


class Kubelet:
    def __init__(self) -> None:
        self._process = subprocess.Popen([program()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()

    def ask(self, **question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the kubelet's code refused the question; why stands in the test's output"
        return json.loads(answer)


def program(package: str = ".") -> Path:
    """One of the module's programs. The first call on a machine builds it (a minute or two)."""
    recipe = b"".join((SOURCES / name).read_bytes() for name in ("go.mod", "go.sum", f"{package}/main.go"))
    ready = host.CACHE / f"{SOURCES.joinpath(package).name}-{hashlib.sha256(recipe).hexdigest()[:12]}"
    with host.locked("kubelet"):
        if not ready.exists():
            with tempfile.TemporaryDirectory(prefix="kubelet-building-", dir=host.CACHE) as scratch:
                target = Path(scratch) / "program"
                build = ["nice", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(target), f"./{package}"]
                host.call(build, cwd=str(SOURCES), env={"CGO_ENABLED": "0"})
                target.rename(ready)
    return ready
