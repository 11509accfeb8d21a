from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from farnode.gateway.pack import pack

INTERPRETERS = sorted(Path("~/.pyenv/versions").expanduser().glob("3.*/bin/python3"))


def test_it_is_reproducible() -> None:
    assert pack() == pack()


def test_it_holds_the_runner_and_no_more() -> None:
    names = set(zipfile.ZipFile(io.BytesIO(pack())).namelist())
    assert {"__main__.py", "farnode/__init__.py", "farnode/wire/frames.py", "farnode/runner/supervisor.py"} <= names
    assert {name.split("/")[1] for name in names if "/" in name} == {"__init__.py", "wire", "runner"}
    assert all(name.endswith(".py") for name in names)


@pytest.mark.parametrize("version", ["3.9", "3.13", "this"])
def test_it_runs_without_anything_installed(tmp_path: Path, version: str) -> None:
    found = [path for path in INTERPRETERS if path.parts[-3].startswith(version + ".")]
    interpreter = sys.executable if version == "this" else (found and found[0]) or shutil.which(f"python{version}")
    if not interpreter:
        pytest.skip(f"no Python {version} here")
    archive = tmp_path / "runner.pyz"
    archive.write_bytes(pack())
    allocation = tmp_path / "n0"
    allocation.mkdir()
    argv = [interpreter, "-I", "-S", "-X", "utf8", archive]
    env = {"FARNODE_ALLOCATION": str(allocation), "PATH": os.environ["PATH"]}
    usage = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
    assert (usage.returncode, usage.stderr.split()[0]) == (64, "usage:")
    # No gateway has left its address here, so the runner ends at once, and the supervisor says so.
    begun = time.monotonic()
    done = subprocess.run([*argv, "supervise"], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 2, done.stderr
    assert "connect.json" in done.stderr
    assert '"status": 2' in (allocation / "supervisor.json").read_text()
    assert time.monotonic() - begun < 10
