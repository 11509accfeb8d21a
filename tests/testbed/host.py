"""The machine the testbed runs on: what must be there, what is installed, and how it is told to do things.

Everything the testbed asks of the host goes through :func:`call`, so a failure always carries the tool's own words.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

CACHE = Path.home() / ".cache" / "farnode" / "testbed"


class TestbedError(Exception):
    """The testbed cannot do what was asked; the message says what to change."""

    __test__ = False


def call(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> str:
    """Run a host tool and return what it printed; its complaint becomes the error."""
    done = subprocess.run(
        argv,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=None if env is None else {**os.environ, **env},
        cwd=cwd,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-4000:]
        raise TestbedError(f"{' '.join(argv[:6])} … exited with {done.returncode}: {said}")
    return done.stdout


def require() -> None:
    """Refuse early, in words, where namespaces or Debian's packages are out of reach."""
    if os.geteuid() != 0:
        raise TestbedError("the testbed creates network and mount namespaces: run it as root")
    if shutil.which("apt-get") is None or not Path("/etc/debian_version").exists():
        raise TestbedError("the testbed builds its root file system with Debian's tools: run it on Debian")


def install(programs: Mapping[str, str]) -> None:
    """Install the packages of those ``programs`` (program -> package) that are not on PATH."""
    missing = sorted({package for program, package in programs.items() if shutil.which(program) is None})
    if not missing:
        return
    log.info("installing on this machine: %s", " ".join(missing))
    patient = ["-o", "DPkg::Lock::Timeout=300"]
    argv = ["nice", "apt-get", *patient, "install", "-y", "--no-install-recommends", *missing]
    with locked("apt"):
        _with_fresh_lists(lambda: call(argv, env={"DEBIAN_FRONTEND": "noninteractive"}))


def _with_fresh_lists(action: Callable[[], str]) -> str:
    """A machine's package lists may be missing or old: update them once when something is not found."""
    try:
        return action()
    except TestbedError:
        log.info("not found in the package lists: updating them")
        call(["nice", "apt-get", "update"])
        return action()


def unpack(package: str, directory: Path) -> Path:
    """A Debian package's files, without installing it."""
    with locked(package):
        if not directory.is_dir():
            log.info("fetching the package %s", package)
            with tempfile.TemporaryDirectory(prefix="deb-", dir=CACHE) as scratch:
                fetch = ["apt-get", "-o", "APT::Sandbox::User=root", "download", package]
                _with_fresh_lists(lambda: call(fetch, cwd=scratch))
                call(["dpkg-deb", "-x", str(next(Path(scratch).glob("*.deb"))), f"{scratch}/files"])
                Path(scratch, "files").rename(directory)
    return directory


def architecture() -> str:
    """Debian's name for this machine's processor, which for those we meet is also the registries' name."""
    return call(["dpkg", "--print-architecture"]).strip()


def mirror() -> str:
    """The Debian mirror of this machine's own apt sources."""
    return _with_fresh_lists(_mirror)


def _mirror() -> str:
    listed = call(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages"])
    for line in listed.splitlines():
        origin, label, uri = line.split("|", 2)
        if (origin, label) == ("Debian", "Debian"):
            return uri.rstrip("/")
    raise TestbedError("apt has no source of Debian's own packages: add one to /etc/apt/sources.list.d")


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold an exclusive lock between processes."""
    path = CACHE / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
    """Poll ``condition`` until it holds; ``what`` names it in the error."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TestbedError(f"waited {timeout:g} s in vain: {what}")
        time.sleep(0.01)
