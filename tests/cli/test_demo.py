"""The demo is what a newcomer sees first: all of the product on this machine, and nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

COMMAND = [sys.executable, "-m", "farnode.cli", "demo"]


def _environment(directory: str) -> dict[str, str]:
    return {**os.environ, "TMPDIR": directory, "FARNODE_CONFIG": f"{directory}/config.yaml"}


def test_all_is_as_expected_and_nothing_stays() -> None:
    with tempfile.TemporaryDirectory(prefix="d") as directory:
        done = subprocess.run(
            COMMAND, env=_environment(directory), capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "NOT AS EXPECTED" not in done.stdout
        assert list(Path(directory).iterdir()) == []


def test_ctrl_c_leaves_nothing_either() -> None:
    with tempfile.TemporaryDirectory(prefix="d") as directory:
        with subprocess.Popen(COMMAND, env=_environment(directory), stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            while b"Running" not in process.stderr.readline():
                pass
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 130
        assert list(Path(directory).iterdir()) == []
