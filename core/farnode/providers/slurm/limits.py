"""The reasons of accounting limits: some 150 codes built from few words, such as `QOSMaxGRESPerUser`.

They are read by their grammar, since Slurm spells the same part differently from code to code: whose limit it is, what
it counts, and over what.
"""

from __future__ import annotations

import re

WHO = {
    "AssocGrp": "this account and those beside it",
    "AssocMax": "this account",
    "QOSGrp": "all users of the QOS",
    "QOSMax": "this user in the QOS",
    "QOSMin": "a job in the QOS",
    "Max": "this user or account in the QOS",
}
WHAT = {
    "BB": "burst buffer",
    "Billing": "billing units",
    "Cpu": "cores",
    "CPU": "cores",
    "Energy": "energy",
    "GRES": "GPUs",
    "License": "licences",
    "Lic": "licences",
    "Mem": "memory",
    "Memory": "memory",
    "Node": "nodes",
    "Unknown": "a resource of the site's own",
    "SubmitJobs": "queued and running jobs",
    "SubmitJob": "queued and running jobs",
    "Jobs": "running jobs",
    "WallDuration": "time",
    "Wall": "time",
}
PER_JOB = ("PerJob", "PerNode", "MinutesPerJob")
CODE = re.compile(
    rf"(?P<who>{'|'.join(WHO)})(?P<what>{'|'.join(sorted(WHAT, key=len, reverse=True))})"
    r"(?P<over>RunMinutes|RunMins|MinutesPerJob|Minutes|NotSatisfied)?"
    r"(?P<per>PerJob|PerNode|PerUser|PerAccount)?(Limit)?"
)


def limit_words(code: str) -> str | None:
    """None for a code that is no limit."""
    match = CODE.fullmatch(code)
    if match is None:
        return None
    what, over, per = WHAT[match["what"]], match["over"] or "", match["per"] or ""
    if match["who"] == "QOSMin":
        return f"it asks for less {what} than the QOS wants of a job; it will never start: cancel it and ask for more"
    if over + per in PER_JOB or (match["what"] == "WallDuration"):
        times = f"{what} times walltime" if over else what
        return f"it asks for more {times} than one job may have; it starts only when the site raises the limit"
    if over.startswith("Run"):
        return f"{WHO[match['who']]} may not have more {what} times remaining walltime running at once"
    if over:
        return f"{WHO[match['who']]} have used up what was granted ({what} times walltime)"
    return f"{WHO[match['who']]} may not have more {what} at once; it starts when other jobs end"
