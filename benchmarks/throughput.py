"""Completed no-op tasks per second on one real Slurm: farnode beside a job array, HyperQueue and Parsl, in one run.

`/bin/true` as a task, from the submission of the first until the last result is known to the client. All have their
workers or pilots running, but for the array, and but for `cold_…`, where farnode has no pilot yet and its allocations
wait in the queue. Each gets four nodes of 16 cores (64 tasks at once) or 16 GPUs, its client on the login node. Prints
one JSON line:

    pods_per_s_300, pods_per_s_2000          farnode, warm pilots
    cold_pods_per_s_2000                     farnode, no pilot when the first pod is submitted
    gpu_pods_per_s                           farnode, pods of one GPU each on all GPUs, warm
    slurm_array_per_s, slurm_gpu_array_per_s one array of 300 jobs, of 100 jobs with a GPU each
    hyperqueue_per_s, hyperqueue_per_s_300   2,000 and 300 tasks; Python API
    parsl_per_s, parsl_per_s_300             2,000 and 300 bash apps; HighThroughputExecutor
    slurm_calls                              Slurm commands of the gateway for the 2,000 cold pods
    cpu_ms_per_pod                           CPU of client, gateway, job scripts, supervisors, runners and pods
    cpu_ms_by_role, slurm_cpu_ms_per_pod     its parts; what Slurm's daemons used meanwhile
    ratios                                   pods_per_s_2000 over each of the others

    python benchmarks/throughput.py [--rounds 3] [--repeats 3] [--quick]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import ground
from tests.testbed import SlurmSite


@dataclass(frozen=True, slots=True)
class Sizes:
    """Tasks of one round."""

    few: int = 300
    many: int = 2000
    gpu: int = 300
    array: int = 300
    gpu_array: int = 100


@dataclass(frozen=True, slots=True)
class Contest:
    """`rounds`: how often each system comes up; `repeats`: of each measurement while it is."""

    box: SlurmSite
    sizes: Sizes
    repeats: int
    figures: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu: list[Mapping[str, float]] = field(default_factory=list)

    def note(self, key: str, answer: Mapping[str, Any]) -> None:
        ground.progress(key, answer)
        self.figures[key].append(answer["per_s"])

    def farnode(self, site: ground.Farnode) -> None:
        sizes = self.sizes
        with ground.pods(self.box) as client:
            before = len(site.calls())
            self.note("cold_pods_per_s_2000", client.round(pods=sizes.many))
            self.figures["slurm_calls"].append(len(site.calls()) - before)
            client.round(pods=sizes.few)
            for _ in range(self.repeats):
                self.note("pods_per_s_300", client.round(pods=sizes.few))
                many = client.round(pods=sizes.many)
                self.note("pods_per_s_2000", many)
                self.cpu.append(many["cpu_ms"])
            site.clear()
            client.round(pods=sizes.few, gpus=1)
            for _ in range(self.repeats):
                self.note("gpu_pods_per_s", client.round(pods=sizes.gpu, gpus=1))
        site.clear()

    def slurm(self) -> None:
        with ground.slurm_array(self.box) as client:
            self.note("slurm_array_per_s", client.round(tasks=self.sizes.array))
            self.note("slurm_gpu_array_per_s", client.round(tasks=self.sizes.gpu_array, gpus=1))

    def peers(self) -> None:
        for name, start in (("hyperqueue", ground.hyperqueue), ("parsl", ground.parsl)):
            with start(self.box) as client:
                client.round(tasks=self.sizes.few)
                for _ in range(self.repeats):
                    self.note(f"{name}_per_s_300", client.round(tasks=self.sizes.few))
                    self.note(f"{name}_per_s", client.round(tasks=self.sizes.many))

    def result(self) -> dict[str, Any]:
        found = {key: round(statistics.median(values), 1) for key, values in self.figures.items()}
        roles = {role: _median([one.get(role, 0.0) for one in self.cpu]) for role in self.cpu[0]}
        others = ("slurm_array_per_s", "parsl_per_s", "hyperqueue_per_s")
        ours = found["pods_per_s_2000"]
        return {
            **found,
            "cpu_ms_per_pod": roles.pop("all"),
            "slurm_cpu_ms_per_pod": roles.pop("slurm"),
            "cpu_ms_by_role": roles,
            "ratios": {other: round(ours / found[other], 2) for other in others if other in found},
        }


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each system comes up")
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement while it is")
    parser.add_argument("--quick", action="store_true", help="few tasks, and without HyperQueue and Parsl")
    options = parser.parse_args()
    sizes = Sizes(few=30, many=100, gpu=30, array=10, gpu_array=10) if options.quick else Sizes()
    with ground.ground() as box:
        contest = Contest(box, sizes, 1 if options.quick else options.repeats)
        if not options.quick:
            ground.add_peers(box)
        with ground.Farnode(box) as site:
            for _ in range(1 if options.quick else options.rounds):
                contest.farnode(site)
                contest.slurm()
                if not options.quick:
                    contest.peers()
    print(json.dumps({"benchmark": "throughput", "quick": options.quick, **contest.result()}))


if __name__ == "__main__":
    main()
