"""The share of GPU time in use while half-second tasks of one GPU pass over all GPUs: farnode, and a Slurm job array.

Each task writes down when it began and ended, by its own clock, and on which GPU. Use is the sum of those times over
the number of GPUs and the span from the first begin to the last end; neither has anything running before. The array
has fewer tasks, for its share depends on Slurm's rate and not on their number. Prints one JSON line:

    gpu_utilisation, slurm_array_utilisation
    cpu_ms_per_pod                             all included, but for Slurm's daemons
    others                                     the share of this machine's time that went elsewhere during ours

    python benchmarks/utilisation.py [--pods 2000] [--jobs 300] [--quick]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import ground
from tests.testbed import SlurmSite

SECONDS = 0.5
SCRIPT = (
    "read -r node </proc/sys/kernel/hostname; begin=$EPOCHREALTIME; sleep {seconds}; "
    'echo "$begin $EPOCHREALTIME $node:$CUDA_VISIBLE_DEVICES" >>{file}'
)


@dataclass(frozen=True, slots=True)
class Use:
    """When a task had a GPU, in seconds since the epoch."""

    begin: float
    end: float
    gpu: str


def read(path: Path) -> list[Use]:
    lines = [line.split() for line in path.read_text().splitlines()]
    return [Use(float(begin), float(end), gpu) for begin, end, gpu in lines]


def share(uses: Sequence[Use]) -> float:
    """Of the time of all GPUs; a GPU that two had at once is an error."""
    by_gpu: defaultdict[str, list[Use]] = defaultdict(list)
    for use in sorted(uses, key=lambda use: use.begin):
        by_gpu[use.gpu].append(use)
    assert len(by_gpu) <= ground.GPUS, f"GPUs seen: {sorted(by_gpu)}"
    for gpu, turns in by_gpu.items():
        for first, second in pairwise(turns):
            assert first.end <= second.begin, f"two tasks had {gpu} at once"
    span = max(use.end for use in uses) - min(use.begin for use in uses)
    return sum(use.end - use.begin for use in uses) / (ground.GPUS * span)


def _command(box: SlurmSite, name: str) -> tuple[str, Path]:
    script = SCRIPT.format(seconds=SECONDS, file=f"{ground.HOME}/{name}")
    return script, box.home("alice") / name


def ours(box: SlurmSite, pods: int) -> dict[str, Any]:
    script, file = _command(box, "pods")
    with ground.Farnode(box) as site:
        with ground.pods(box) as client:
            answer = client.round(pods=pods, gpus=1, command=["/bin/bash", "-c", script])
        site.clear()
    uses = read(file)
    assert len(uses) == pods, f"{len(uses)} of {pods} ran"
    ground.progress("pods", answer)
    return {
        "gpu_utilisation": round(share(uses), 3),
        "cpu_ms_per_pod": answer["cpu_ms"]["all"],
        "others": answer["others"],
    }


def array(box: SlurmSite, jobs: int) -> dict[str, Any]:
    script, file = _command(box, "jobs")
    with ground.slurm_array(box) as client:
        ground.progress("array", client.round(tasks=jobs, gpus=1, command=f"exec /bin/bash -c '{script}'"))
    return {"slurm_array_utilisation": round(share(read(file)), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=300, help="of the array")
    parser.add_argument("--quick", action="store_true", help="64 pods and jobs")
    options = parser.parse_args()
    pods, jobs = (64, 64) if options.quick else (options.pods, options.jobs)
    with ground.ground() as box:
        found = ours(box, pods) | array(box, jobs)
    print(json.dumps({"benchmark": "utilisation", "pods": pods, "jobs": jobs, **found}))


if __name__ == "__main__":
    main()
