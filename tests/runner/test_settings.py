"""What a runner is told by its environment."""

from __future__ import annotations

import pytest

from farnode.runner.settings import Settings


@pytest.mark.parametrize(
    ("told", "job"),
    [
        ({}, ""),
        ({"SLURM_JOB_ID": "7"}, "7"),
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}, "7_0"),
    ],
)
def test_the_job_is_called_as_the_batch_system_lists_it(told: dict[str, str], job: str) -> None:
    assert Settings.read({"FARNODE_ALLOCATION": "/spool/n", "FARNODE_CORES": "1", **told}).job == job
