"""How soon a single pod runs, and how soon its end is known: warm pilot on the real Slurm, nothing else to do.

Prints one JSON line:

    start_ms_p50, start_ms_p99   submit called -> client knows that the container runs
    end_ms_p50, end_ms_p99       the pod's own last moment -> client knows that it has ended
    others                       the share of this machine's time that went elsewhere

    python benchmarks/latency.py [--pods 200] [--quick]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import ground


def percentiles(name: str, values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    p99 = ordered[int(len(ordered) * 0.99)]
    return {f"{name}_p50": round(statistics.median(ordered), 1), f"{name}_p99": round(p99, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="20 pods")
    options = parser.parse_args()
    pods = 20 if options.quick else options.pods
    with ground.ground() as box, ground.Farnode(box) as site:
        with ground.pods(box, "farnode_singles") as client:
            client.round(pods=5)
            answer = client.round(pods=pods)
        site.clear()
    found = percentiles("start_ms", answer["start_ms"]) | percentiles("end_ms", answer["end_ms"])
    print(json.dumps({"benchmark": "latency", "pods": pods, **found, "others": answer["others"]}))


if __name__ == "__main__":
    main()
