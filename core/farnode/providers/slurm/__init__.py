"""Slurm, driven by its commands as an ordinary user.

settings    what the site tells of it
budget      how many calls the site's controller is spared
command     the one way a command is run
submission  which requests are one job, or one array
submit      those -> sbatch's argv; its answer -> ids or a refusal
cancel      allocations -> scancel's argv
refusals    sbatch's complaints in words
states      squeue's and sacct's answers -> states
words       every state and reason in words
limits      the reasons of accounting limits, by their grammar
hostlist    `n[1-3]`
cluster     partitions and nodes
gres        GPUs of a node
accounting  accounts, QOS and their limits
inventory   all of that -> offers
survey      asks for it, and keeps it to check requests against
estimate    when a job would start, by `sbatch --test-only`
provider    the port, in front of it
"""

from farnode.providers.slurm.provider import SlurmProvider

__all__ = ["SlurmProvider"]
