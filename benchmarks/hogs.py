"""Pods that take all they can get, beside one that wants its turn: do limits hold, and what does the neighbour notice?

    python benchmarks/hogs.py [--seconds 10]

One runner of the embedded site runs them all. The neighbour writes down when it woke from sleeps of 10 ms; its largest
gap without and with the hogs is the figure. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults.hogs import HOGS, LIMITS, gaps, log_bytes, neighbour
from tests.sites import EmbeddedSite


def measure(site: EmbeddedSite, seconds: float, hogs: Mapping[str, Any]) -> dict[str, Any]:
    """Milliseconds of the neighbour's gaps, and how each hog ended."""
    with site.client() as client:
        (witness,) = client.submit(site.fitted([neighbour(seconds)], "process"))
        started = client.submit(site.fitted(hogs.values(), "process")) if hogs else []
        ended = [client.wait(pod) for pod in started]
        found = gaps(client, client.wait(witness))
        states = {pod.name: pod.container_statuses["main"]["state"]["terminated"]["reason"] for pod in ended}
        logs = {pod.name: log_bytes(site, pod.uid) for pod in ended}
    p = sorted(found)
    return {
        "gap_ms": {"p50": p[len(p) // 2], "p99": p[int(len(p) * 0.99)], "max": p[-1]},
        "ended": states,
        "log_bytes": logs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the neighbour lives")
    seconds = parser.parse_args().seconds
    with EmbeddedSite({"limits": LIMITS}) as site:
        alone = measure(site, seconds, {})
        beside = measure(site, seconds, HOGS)
    print(json.dumps({"benchmark": "hogs", "seconds": seconds, "alone": alone, "beside": beside}))


if __name__ == "__main__":
    main()
