from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .place import Place

PLAIN = 6601
"""An unprivileged uid: a runner is never root."""


def python() -> str:
    """A Python an unprivileged user can execute here."""
    for name in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run([name, "-c", ""], user=PLAIN, group=PLAIN, extra_groups=[], check=True, cwd="/")
        except (OSError, subprocess.CalledProcessError):
            continue
        return name
    pytest.skip("no Python that an unprivileged user can execute")


def run_here(argv: list[str], text: str) -> str:
    done = subprocess.run(
        [python(), *argv],
        input=text,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "SLURM_JOB_ID": "7"},
        cwd="/",
        user=PLAIN,
        group=PLAIN,
        extra_groups=[],
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def place() -> Iterator[Place]:
    path = Path(tempfile.mkdtemp(prefix="runtimes-"))
    path.chmod(0o755)
    os.chown(path, PLAIN, PLAIN)
    try:
        yield Place(path, str(path), PLAIN, "process", run_here)
    finally:
        shutil.rmtree(path)
