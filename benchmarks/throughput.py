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
    pilots                                   of a node each, that the warm pods ran in
    cpu_ms_per_pod                           CPU of client, gateway, job scripts, supervisors, runners and pods
    cpu_ms_by_role, slurm_cpu_ms_per_pod     its parts; what Slurm's daemons used meanwhile
    cpu_ms_per_task                          of the others, Slurm's daemons included
    ratios                                   pods_per_s_2000 over each of the others
    others                                   the most of the machine's time that went elsewhere during a figure's rounds

Each figure is the median of that half of its rounds during which the machine was busy least with anything else.

    python benchmarks/throughput.py [--rounds 3] [--repeats 3] [--quick]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import ground
from tests.testbed import SlurmSite

Answer = Mapping[str, Any]
PEERS = ("slurm_array_per_s", "parsl_per_s", "hyperqueue_per_s")


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
    answers: defaultdict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))

    def note(self, key: str, answer: Answer) -> None:
        ground.progress(key, answer)
        self.answers[key].append(answer)

    def farnode(self, site: ground.Farnode) -> None:
        sizes = self.sizes
        with ground.pods(self.box) as client:
            before = len(site.calls())
            cold = self._tidily(client, pods=sizes.many)
            self.note("cold_pods_per_s_2000", {**cold, "calls": len(site.calls()) - before})
            self._tidily(client, pods=sizes.few)
            for _ in range(self.repeats):
                self.note("pods_per_s_300", self._tidily(client, pods=sizes.few))
                self.note("pods_per_s_2000", {**self._tidily(client, pods=sizes.many), "pilots": site.pilots()})
            site.clear()
            self._tidily(client, pods=sizes.few, gpus=1)
            for _ in range(self.repeats):
                self.note("gpu_pods_per_s", self._tidily(client, pods=sizes.gpu, gpus=1))
        site.clear()

    @staticmethod
    def _tidily(client: ground.Contestant, **asked: Any) -> Answer:
        answer = client.round(**asked)
        client.tidy()
        return answer

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
        quiet = {key: _quieter_half(answers) for key, answers in self.answers.items()}
        rates = {key: round(_median(answer["per_s"] for answer in answers), 1) for key, answers in quiet.items()}
        cpu = _cpu(quiet["pods_per_s_2000"])
        peers = [key for key in PEERS if key in rates]
        return {
            **rates,
            "slurm_calls": max(answer["calls"] for answer in self.answers["cold_pods_per_s_2000"]),
            "pilots": min(answer["pilots"] for answer in self.answers["pods_per_s_2000"]),
            "cpu_ms_per_pod": cpu.pop("all"),
            "slurm_cpu_ms_per_pod": cpu.pop("slurm"),
            "cpu_ms_by_role": cpu,
            "cpu_ms_per_task": {key: _with_slurm(_cpu(quiet[key])) for key in peers},
            "ratios": {key: round(rates["pods_per_s_2000"] / rates[key], 2) for key in peers},
            "others": {key: max(answer["others"] for answer in answers) for key, answers in quiet.items()},
        }


def _quieter_half(answers: Sequence[Answer]) -> Sequence[Answer]:
    """Those during which the machine was busy least with anything else."""
    return sorted(answers, key=lambda answer: float(answer["others"]))[: (len(answers) + 1) // 2]


def _with_slurm(cpu: Mapping[str, float]) -> float:
    return round(cpu["all"] + cpu["slurm"], 2)


def _cpu(answers: Sequence[Answer]) -> dict[str, float]:
    """Milliseconds per task by role."""
    uses = [answer["cpu_ms"] for answer in answers]
    return {role: round(_median(use.get(role, 0.0) for use in uses), 3) for role in uses[0]}


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


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
