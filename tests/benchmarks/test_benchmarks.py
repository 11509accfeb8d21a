"""Each benchmark that needs a site, once and small: that it still runs, and that what it prints can be true.

The programs themselves check that every task succeeded and that no two had a GPU at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.system


def run(script: str) -> dict[str, Any]:
    """The one line a benchmark prints."""
    argv = [sys.executable, str(BENCHMARKS / script), "--quick"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert found.pop("benchmark") == Path(script).stem
    return found


def test_throughput() -> None:
    found = run("throughput.py")
    rates = {"pods_per_s_300", "pods_per_s_2000", "cold_pods_per_s_2000", "gpu_pods_per_s"}
    arrays = {"slurm_array_per_s", "slurm_gpu_array_per_s"}
    assert rates | arrays < found.keys()
    assert all(0 < found[key] < 10_000 for key in rates | arrays)
    assert 1 <= found["slurm_calls"] <= 20
    roles = found["cpu_ms_by_role"]
    assert {"client", "gateway", "runner", "pods"} <= roles.keys()
    assert all(roles[role] > 0 for role in ("gateway", "runner", "pods"))
    assert found["cpu_ms_per_pod"] == pytest.approx(sum(roles.values()), abs=0.05)


def test_latency() -> None:
    found = run("latency.py")
    assert found["pods"] == 20
    assert 0 < found["start_ms_p50"] <= found["start_ms_p99"] < 5000
    assert 0 < found["end_ms_p50"] <= found["end_ms_p99"] < 5000


def test_utilisation() -> None:
    found = run("utilisation.py")
    assert 0 < found["slurm_array_utilisation"] < 1
    assert 0 < found["gpu_utilisation"] < 1
