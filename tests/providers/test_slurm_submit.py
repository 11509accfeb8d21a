"""A request as a call of sbatch, and sbatch's answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farnode.model.allocation import AllocationId, GpuRequest, Refused
from farnode.providers.slurm.command import Output
from farnode.providers.slurm.submit import answer, job_id, sbatch
from tests.providers.helpers import request

SCRIPT = Path("/opt/farnode/job.sh")


def test_the_least_request() -> None:
    assert sbatch(request(), SCRIPT) == [
        "sbatch",
        "--parsable",
        "--no-requeue",
        "--job-name=farnode-n0",
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=1",
        "--signal=B:USR1@60",
        "--chdir=/spool/n0",
        "--output=/spool/n0/job.out",
        "--open-mode=append",
        "--export=ALL",
        "--propagate=NONE",
        "/opt/farnode/job.sh",
    ]


def test_everything_asked_for() -> None:
    full = request(
        cores=16,
        memory=(4 << 30) + 1,
        directory="/spool/50%/n0",
        gpu=GpuRequest("nvidia.com", "1g.10gb", 2),
        walltime=3601,
        nodes=4,
        partition="main",
        account="proj1",
        qos="high",
        comment="farnode\nalice's; $(id)\0",
        warning=120,
        environment={"FARNODE_SECRET": "never on a command line"},
    )
    assert sbatch(full, SCRIPT, "--test-only") == [
        "sbatch",
        "--test-only",
        "--parsable",
        "--no-requeue",
        "--job-name=farnode-n0",
        "--partition=main",
        "--account=proj1",
        "--qos=high",
        "--nodes=4",
        "--ntasks=4",
        "--cpus-per-task=16",
        "--mem=4097M",
        "--gres=gpu:1g.10gb:2",
        "--time=61",
        "--signal=B:USR1@120",
        "--chdir=/spool/50%/n0",
        "--output=/spool/50%%/n0/job.out",
        "--open-mode=append",
        "--comment=farnode alice's; $(id)",
        "--export=ALL",
        "--propagate=NONE",
        "/opt/farnode/job.sh",
    ]


def test_any_type_of_gpu() -> None:
    assert "--gres=gpu:3" in sbatch(request(gpu=GpuRequest("nvidia.com", "", 3)), SCRIPT)


@pytest.mark.parametrize(
    ("out", "job"),
    [
        ("129\n", "129"),
        ("129;h7\n", "129"),
        ("*** Maintenance on Monday 24 ***\n\n129\n", "129"),
        ("129\nThank you for flying with us\n", "129"),
        ("  129  \r\n", "129"),
        ("Submitted batch job 129\n", None),
        ("", None),
        ("129 130\n", None),
    ],
)
def test_the_id_among_other_lines(out: str, job: str | None) -> None:
    assert job_id(out) == job


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (Output(0, "7\n", "sbatch: your quota is nearly used up\n"), AllocationId("n", "7")),
        (Output(1, "7\n", "sbatch: error: plugin unloaded badly\n"), AllocationId("n", "7")),
        (Output(-9, "", ""), AllocationId("n")),
        (Output(0, "noise\n", ""), AllocationId("n")),
        (Output(1, "", "sbatch: error: … Socket timed out on send/recv operation\n"), AllocationId("n")),
        (Output(1, "", "sbatch: error: Batch job submission failed: Weather\n"), Refused("Slurm refused it: Weather")),
        (Output(1, "", ""), Refused("Slurm refused it without a reason")),
    ],
)
def test_what_became_of_a_request(output: Output, expected: AllocationId | Refused) -> None:
    assert answer("n", output) == expected


@given(st.integers(-64, 255), st.text(), st.text())
def test_whatever_sbatch_says_there_is_an_answer(code: int, out: str, err: str) -> None:
    got = answer("n", Output(code, out, err))
    assert isinstance(got, Refused) or got.nonce == "n"
