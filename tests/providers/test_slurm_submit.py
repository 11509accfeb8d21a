"""Requests as calls of sbatch, and sbatch's answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farnode.model.allocation import AllocationId, AllocationRequest, GpuRequest, Refused
from farnode.providers.slurm.command import Output
from farnode.providers.slurm.submission import Kind, Submission, ranges, submissions
from farnode.providers.slurm.submit import answers, environment, job_id, sbatch
from tests.providers.helpers import request

SCRIPT = Path("/opt/farnode/job.sh")
SRUN = "/opt/slurm/bin/srun"
LARGEST = 1001


def one(wanted: AllocationRequest) -> Submission:
    (submission,) = submissions([wanted], LARGEST)
    return submission


def alike(count: int, base: str = "b", **values: object) -> list[AllocationRequest]:
    """Of one base; what is each one's own differs."""
    own = [(f"{base}-{index}", f"/spool/50%/{base}-{index}") for index in range(count)]
    given = {"FARNODE_X": "x"}
    return [
        request(nonce, directory=where, environment={**given, "FARNODE_ALLOCATION": where}, **values)
        for nonce, where in own
    ]


def test_the_least_request() -> None:
    assert sbatch(one(request()), SCRIPT) == [
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
    assert sbatch(one(full), SCRIPT, "--test-only") == [
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
        "--ntasks-per-node=1",
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
    assert "--gres=gpu:3" in sbatch(one(request(gpu=GpuRequest("nvidia.com", "", 3))), SCRIPT)


def test_those_of_one_base_that_are_alike_are_one_array() -> None:
    submission, other, alone = sorted(
        submissions([*alike(4), *alike(2, "c"), request("d")], LARGEST), key=lambda submission: submission.name
    )
    assert [each.kind for each in (submission, other, alone)] == [Kind.ARRAY, Kind.ARRAY, Kind.PLAIN]
    argv = sbatch(submission, SCRIPT)
    assert {"--job-name=farnode-b", "--array=0-3", "--chdir=/spool/50%", "--output=/spool/50%%/b-%a/job.out"} <= set(
        argv
    )
    assert environment(submission, SCRIPT, SRUN) == {"FARNODE_X": "x", "FARNODE_ALLOCATION": "/spool/50%/b"}


def test_those_that_differ_are_arrays_of_their_own() -> None:
    first, second, *others = alike(4)
    made = submissions([replace(first, cores=2), second, replace(others[0], cores=2), others[1]], LARGEST)
    assert [[each.nonce for each in submission.requests] for submission in made] == [["b-0", "b-2"], ["b-1", "b-3"]]
    assert ["--array=0,2" in sbatch(made[0], SCRIPT), "--array=1,3" in sbatch(made[1], SCRIPT)] == [True, True]


def test_an_index_too_large_for_an_array_is_a_job_of_its_own() -> None:
    far, *_ = submissions(alike(3), 2)
    assert (far.kind, far.name, far.stem) == (Kind.PLAIN, "farnode-b-2", "/spool/50%/b-2")
    assert not [option for option in sbatch(far, SCRIPT) if option.startswith("--array")]
    assert environment(far, SCRIPT, SRUN)["FARNODE_ALLOCATION"] == "/spool/50%/b-2"


def test_the_nodes_of_one_job() -> None:
    submission, *others = submissions(alike(3, nodes=3, together=True), 1)
    assert not others
    argv = sbatch(submission, SCRIPT)
    wanted = {"--nodes=3", "--ntasks=3", "--ntasks-per-node=1", "--no-kill", "--output=/spool/50%%/b-0/job.out"}
    assert wanted | {"--job-name=farnode-b", "--chdir=/spool/50%"} <= set(argv)
    given = environment(submission, SCRIPT, SRUN)
    own = {"FARNODE_ALLOCATION": "/spool/50%/b", "FARNODE_GANG": str(SCRIPT), "FARNODE_SRUN": SRUN}
    assert given == {"FARNODE_X": "x", **own}
    told = answers(submission, Output(0, "7\n", ""))
    assert told == [AllocationId("b-0", "7"), AllocationId("b-1", "7"), AllocationId("b-2", "7")]
    refused = answers(submission, Output(1, "", "sbatch: error: Batch job submission failed: Weather\n"))
    assert refused == [Refused("Slurm refused it: Weather")] * 3


def test_the_elements_of_an_array() -> None:
    submission, *_ = submissions(alike(2), LARGEST)
    assert answers(submission, Output(0, "7\n", "")) == [AllocationId("b-0", "7_0"), AllocationId("b-1", "7_1")]
    assert answers(submission, Output(-9, "", "")) == [AllocationId("b-0"), AllocationId("b-1")]


@pytest.mark.parametrize(("indices", "text"), [([3], "3"), ([0, 1, 2], "0-2"), ([0, 2, 3, 7], "0,2-3,7"), ([], "")])
def test_indices_as_slurm_writes_them(indices: list[int], text: str) -> None:
    assert ranges(indices) == text


@given(st.sets(st.integers(0, 5000)), st.integers(0, 1001))
def test_nobody_is_left_out_and_nobody_asked_for_twice(indices: set[int], largest: int) -> None:
    wanted = [request(f"b-{index}", directory=f"/spool/b-{index}") for index in indices]
    made = submissions(wanted, largest)
    assert sorted(each.nonce for one in made for each in one.requests) == sorted(each.nonce for each in wanted)
    for submission in made:
        array = submission.kind is Kind.ARRAY
        assert all(((each.index or 0) < largest) is array for each in submission.requests)


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
    assert answers(one(request("n")), output) == [expected]


@given(st.integers(-64, 255), st.text(), st.text())
def test_whatever_sbatch_says_there_is_an_answer(code: int, out: str, err: str) -> None:
    (got,) = answers(one(request("n")), Output(code, out, err))
    assert isinstance(got, Refused) or got.nonce == "n"
