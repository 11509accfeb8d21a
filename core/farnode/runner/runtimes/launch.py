"""The hand-over from the runner to `enter`.

What a user wrote (values, paths, names) travels in a file of mode 0600 that `enter` deletes as soon as it has read
it; on the command line stands only that file's name. It is in the form of `marshal`, which needs no import and is
private to one version of Python, as both ends are. What went wrong comes back in a file `failure`: a reason, a newline,
words; nothing when nothing did.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from ..runtime import Command, ContainerSpec, Failure, Mount
from .keeper import MARK

Order = dict[str, Any]
CODE = (
    "import sys;r,f=sys.argv[1:];m=type(sys)('farnode');m.__path__=[r+'/farnode'];sys.modules['farnode']=m;"
    "from farnode.runner.enter import main;sys.exit(main(f))"
)
"""Works from the archive and from a source tree. The package is made by hand because in a source tree its own
`__init__` is the public face, which needs more than the standard library."""
PATIENCE = 30.0
"""Seconds a tool may take to answer when it is tried."""


def command(spec: ContainerSpec, order: Order, env: dict[str, str]) -> Command:
    """The command that lets `enter` carry out an order; `env` is what `enter` itself gets, with the marks."""
    os.makedirs(spec.directory, mode=0o700, exist_ok=True)
    name = os.path.join(spec.directory, f"enter-{os.urandom(6).hex()}")
    began = spec.began() if spec.began is not None else None
    with open(name, "xb", opener=private) as file:
        marshal.dump({**order, "process_limit": spec.process_limit, "began": began}, file)
    marks = {key: value for key, value in spec.env.items() if key.startswith(MARK)}
    return Command(interpreter(name), {**env, **marks}, "/", began=began)


def interpreter(argument: str) -> list[str]:
    """The command line of `enter`. -I and -S keep everything of the user's out, and it starts faster."""
    root = os.path.abspath(__file__).rpartition("/farnode/runner/")[0]
    return [sys.executable, "-I", "-S", "-X", "utf8", "-c", CODE, root, argument]


def output(argv: list[str], env: Mapping[str, str]) -> str:
    """What a tool prints; empty where it does not answer."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
        return (done.stdout or done.stderr).decode(errors="replace").strip()
    return ""


def attempt(argv: list[str], env: dict[str, str]) -> tuple[bytes, str]:
    """What a trial start prints, and its complaints; ValueError when it takes too long."""
    try:
        done = subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"a container was not started within {PATIENCE:g} s") from None
    return done.stdout, done.stderr.decode(errors="replace").strip()[-500:]


def private(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_CLOEXEC, 0o600)


def termination_log(spec: ContainerSpec) -> Mount:
    """Its mount, once the file is there."""
    os.makedirs(spec.directory, mode=0o700, exist_ok=True)
    os.close(private(spec.termination_log.source, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    return spec.termination_log


def failure_path(spec: ContainerSpec) -> str:
    return os.path.join(spec.directory, "failure")


def failure(spec: ContainerSpec) -> Failure | None:
    """What `enter` wrote down of the start, if that failed."""
    try:
        with open(failure_path(spec), encoding="utf-8", errors="replace") as file:
            reason, _, message = file.read().partition("\n")
    except FileNotFoundError:
        return None
    return Failure(reason, message) if reason else None
