"""The benchmark of scale once and small: that it still runs, and that what it prints can be true."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scale.py"

pytestmark = pytest.mark.system


def test_scale() -> None:
    argv = [sys.executable, str(SCRIPT), "--waiting", "20", "60", "--runners", "3", "--idle", "1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    few, many = found["runs"]
    assert (few["waiting"], many["waiting"]) == (20, 60)
    assert all(run[key] > 0 for run in (few, many) for key in ("decisions_per_s", "cpu_ms_per_pod", "restart_s"))
    assert 0 < few["empty_mib"] <= few["memory_mib"] < 500
    (growth,) = found["growth"]
    assert (growth["runners"], growth["from"], growth["to"]) == (3, 20, 60)
    assert growth["cpu_ms_per_pod"] > 0
