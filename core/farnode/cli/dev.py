"""farnode dev: a whole cluster on this machine, for whoever wants to try.

The programs of Kubernetes are no part of farnode: the testbed of its checkout builds them, and runs them here.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click

from farnode.errors import Invalid

CHECKOUT = Path(__file__).parents[3]
_PAUSE = 0.2


@click.group()
def dev() -> None:
    """A Kubernetes cluster on this machine with a site as its node; needs a checkout of farnode and Go, not root.

    \b
    farnode dev up
    farnode dev down
    """


@dev.command()
def up() -> None:
    """Start control plane, site and node; the first time builds Kubernetes, which takes minutes.

    \b
    farnode dev up
    """
    home = _home()
    if _pid(home) is not None:
        raise Invalid("dev", "it is up: farnode dev down ends it")
    _check()
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o700, parents=True)
    words = home / "words"
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.testbed", "cluster", "up", "--announce", str(words)],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    (home / "pid").write_text(str(process.pid))
    click.echo(f"starting; what it says is in {home / 'log'}", err=True)
    while not words.exists():
        if process.poll() is not None:
            raise Invalid("dev", f"it ended:\n{(home / 'log').read_text(errors='replace')[-2000:]}")
        time.sleep(_PAUSE)
    click.echo(words.read_text(), nl=False)


@dev.command()
def down() -> None:
    """End it, with all that runs there.

    \b
    farnode dev down
    """
    home = _home()
    pid = _pid(home)
    if pid is None:
        raise Invalid("dev", "it is not up")
    os.kill(pid, signal.SIGTERM)
    while _pid(home) is not None:
        time.sleep(_PAUSE)
    shutil.rmtree(home)


def _home() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "farnode-dev"


def _check() -> None:
    if not (CHECKOUT / "tests/testbed/kubernetes").is_dir():
        raise Invalid("dev", "needs a checkout of farnode: its scripts/venv, then .venv/bin/farnode dev up")
    if shutil.which("go") is None:
        raise Invalid("dev", "needs Go, which builds Kubernetes once: https://go.dev/dl")


def _pid(home: Path) -> int | None:
    """Of the process that runs it; None where there is none any more."""
    try:
        pid = int((home / "pid").read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if b"tests.testbed" in arguments else None
