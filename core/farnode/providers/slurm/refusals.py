"""What sbatch says when it refuses, and what a user can do about it.

The texts were recorded on Slurm 24.11 and are the same since 22.05. Rows are tried from the top: the precise reason,
where Slurm prints one in a line of its own, comes before the general "Job violates accounting/QOS policy".
"""

from __future__ import annotations

import re

from farnode.model.allocation import Refused

AGAIN = "it is asked for again as others end"
# (a piece of Slurm's text, words for the user, whether the same request may be made again later)
REFUSALS: tuple[tuple[str, str, bool], ...] = (
    ("SubmitJobLimit", f"this account has as many jobs queued or running as it may; {AGAIN}", True),
    ("SubmitJobsLimit", f"this account's group has as many jobs queued or running as it may; {AGAIN}", True),
    ("MaxSubmitJobPerUserLimit", f"this user has as many jobs queued or running in the QOS as it may; {AGAIN}", True),
    ("MaxSubmitJobsPerAccount", f"this account has as many jobs queued or running in the QOS as it may; {AGAIN}", True),
    ("MaxWallDurationPerJobLimit", "the walltime is longer than the account or QOS allows: ask for less", False),
    ("MaxCpuPerJobLimit", "more cores than the account or QOS allows for one job: ask for fewer", False),
    ("MaxNodePerJobLimit", "more nodes than the account or QOS allows for one job: ask for fewer", False),
    ("MaxMemPerJob", "more memory than the account or QOS allows for one job: ask for less", False),
    ("MaxMemoryPerJob", "more memory than the QOS allows for one job: ask for less", False),
    ("MaxGRESPerJob", "more GPUs than the account or QOS allows for one job: ask for fewer", False),
    ("MinutesPerJob", "size times walltime is more than the account or QOS allows for one job: ask for less", False),
    ("QOSMin", "less than the QOS asks of a job at least: ask for more or name another QOS", False),
    ("Job violates accounting/QOS policy", "the account's or the QOS's limits do not allow it: ask for less", False),
    ("Invalid account or account/partition", "the account is unknown, or may not use this partition", False),
    ("invalid partition specified", "there is no such partition", False),
    ("Invalid partition name", "there is no such partition", False),
    ("Invalid qos specification", "there is no such QOS, or the account may not use it", False),
    ("User's group not permitted", "this user's groups may not use the partition", False),
    ("Memory specification can not be satisfied", "no node has that much memory: ask for less", False),
    ("CPU count per node can not be satisfied", "no node has that many cores: ask for fewer", False),
    ("Invalid generic resource (gres)", "the site has no GPUs of this name", False),
    ("Invalid Trackable RESource (TRES)", "the site has no GPUs of this name", False),
    ("Requested node configuration is not available", "no node has GPUs of this type, so many, or all of this", False),
    ("Requested time limit is invalid", "the walltime is longer than the partition allows: ask for less", False),
    ("Node count specification invalid", "more nodes than the partition allows: ask for fewer", False),
    ("More processors requested than permitted", "more cores than the partition allows: ask for fewer", False),
    ("Required partition not available", f"the partition takes no jobs now; {AGAIN}", True),
    ("Requested partition configuration not available now", f"the partition cannot run it now; {AGAIN}", True),
    ("Required node not available", f"the nodes are down or drained now; {AGAIN}", True),
    ("Requested reservation is invalid", "there is no such reservation, or it has ended", False),
    ("Invalid feature specification", "no node has this feature", False),
    ("Invalid license specification", "the site has no such licence", False),
    ("Invalid node name specified", "there is no such node", False),
    ("Invalid job array specification", "the array is larger than the site allows", False),
    ("Job dependency problem", "the job depends on one that does not exist", False),
    ("Access/permission denied", "Slurm does not let this user submit jobs here", False),
    ("Invalid user id", "the compute nodes do not know this user", False),
    ("Job submission is disabled", f"the site takes no jobs now; {AGAIN}", True),
    ("Slurm temporarily unable to accept", f"Slurm has no room for more jobs now; {AGAIN}", True),
    ("Resource temporarily unavailable", f"Slurm has no room for more jobs now; {AGAIN}", True),
    ("Slurm job queue full", f"Slurm has no room for more jobs now; {AGAIN}", True),
    ("RPC rate limit", f"Slurm limits how often it is called; {AGAIN}", True),
    ("Invalid --", "Slurm does not understand an option of the request", False),
    ("This does not look like a batch script", "the gateway's job script is damaged", False),
    ("Unable to open file", "the gateway's job script cannot be read", False),
)
TOO_MANY = (
    "SubmitJobLimit",
    "SubmitJobsLimit",
    "MaxSubmitJobPerUserLimit",
    "MaxSubmitJobsPerAccount",
    "Slurm temporarily unable to accept",
    "Slurm job queue full",
)
"""What is said of an array of which a part might have been taken: each element counts as a job."""
PREFIX = re.compile(r"^(sbatch|allocation failure)(: (error|fatal))?: |^Batch job submission failed: ")


def refusal(text: str) -> Refused:
    """Slurm's complaint (stderr) as words: the table's, then Slurm's own, which an administrator may ask for."""
    own = "; ".join(line for line in map(_bare, text.splitlines()) if line)[-300:]
    for sign, words, again in REFUSALS:
        if sign in text:
            return Refused(f"{words} (Slurm: {own})", again)
    return Refused(f"Slurm refused it: {own}" if own else "Slurm refused it without a reason")


def _bare(line: str) -> str:
    line = line.strip()
    while line != (line := PREFIX.sub("", line)):
        pass
    return line
