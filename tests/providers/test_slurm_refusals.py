"""Every refusal that a real Slurm was seen to give, in words."""

from __future__ import annotations

import pytest

from farnode.providers.slurm.refusals import refusal

BJSF = "sbatch: error: Batch job submission failed: "
POLICY = f"{BJSF}Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n"
SEEN = [
    (f"{BJSF}Invalid account or account/partition combination specified\n", "account", False),
    (f"sbatch: error: invalid partition specified: nope\n{BJSF}Invalid partition name specified\n", "partition", False),
    (f"{BJSF}Invalid qos specification\n", "QOS", False),
    (f"sbatch: error: AssocMaxSubmitJobLimit\n{POLICY}", "as many jobs", True),
    (f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{POLICY}", "as many jobs", True),
    (f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{POLICY}", "walltime", False),
    (POLICY, "limits", False),
    (f"{BJSF}Requested node configuration is not available\n", "no node", False),
    ("sbatch: error: Invalid generic resource (gres) specification\n", "GPUs", False),
    (f"sbatch: error: Memory specification can not be satisfied\n{BJSF}Requested node …\n", "memory", False),
    (f"sbatch: error: CPU count per node can not be satisfied\n{BJSF}Requested node …\n", "cores", False),
    (f"{BJSF}Invalid feature specification\n", "feature", False),
    (f"{BJSF}Requested reservation is invalid\n", "reservation", False),
    ("sbatch: error: Invalid --time specification\n", "option", False),
    (f"{BJSF}Invalid job array specification\n", "array", False),
    (f"{BJSF}Job dependency problem\n", "depends", False),
    ("sbatch: error: This does not look like a batch script.  The first\n", "job script", False),
    (f"{BJSF}Requested time limit is invalid (missing or exceeds some limit)\n", "walltime", False),
    (f"{BJSF}Node count specification invalid\n", "nodes", False),
    (f"{BJSF}User's group not permitted to use this partition\n", "groups", False),
    ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying.\n", "no room", True),
    ("allocation failure: Invalid account or account/partition combination specified\n", "account", False),
]


@pytest.mark.parametrize(("text", "words", "again"), SEEN)
def test_a_refusal_in_words(text: str, words: str, again: bool) -> None:
    refused = refusal(f"Welcome to the cluster\n{text}")
    assert words in refused.words.split(" (Slurm:")[0]
    assert refused.again is again
    assert "BJSF" not in refused.words
    assert "\n" not in refused.words


def test_slurms_own_text_stays_readable() -> None:
    text = f"sbatch: error: AssocMaxSubmitJobLimit\n{BJSF}Job violates accounting/QOS policy\n"
    assert refusal(text).words.endswith("(Slurm: AssocMaxSubmitJobLimit; Job violates accounting/QOS policy)")
