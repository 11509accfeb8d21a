"""The benchmark of the virtual node once and small: that it still runs, and that what it prints can be true."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "node.py"

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]  # the first one on a machine builds the control plane


def test_node() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick"], capture_output=True, text=True, check=False, timeout=800
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    assert found.pop("benchmark") == "node"
    others = found.pop("others")
    assert all(0 <= share < 1 for share in others.values())
    rates = {"bare_pods_per_s", "pods_per_s_60", "scheduled_pods_per_s_60", "ratio"}
    waits = {f"{kind}_{part}" for kind in ("start_ms", "stale_ms") for part in ("p50", "p99")}
    stale = {f"{name}_{running}" for name in waits if name.startswith("stale") for running in (5, 10)}
    starts = {name for name in waits if name.startswith("start")}
    costs = {"api_calls_per_pod", "node_cpu_ms_per_pod"}
    memory = {"node_mb_50", "node_mb_100"}
    assert found.keys() == rates | stale | starts | costs | memory
    assert all(0 < found[key] < 10_000 for key in rates | stale | starts | costs)
    assert all(abs(found[key]) < 50 for key in memory)
    assert found["stale_ms_p50_5"] <= found["stale_ms_p99_5"]
    assert 1 <= found["api_calls_per_pod"] < 20
