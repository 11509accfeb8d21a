"""A site in a box, for tests, benchmarks and examples: real Slurm and apptainer behind NAT, on one Debian machine.

::

    with SlurmSite(SiteSpec(nodes=2, index=free_index())) as site:
        site.run("alice", ["srun", "-N2", "hostname"])

By hand: ``python -m tests.testbed site up|shell|down``.
"""

from tests.testbed.host import TestbedError, wait_until
from tests.testbed.machine import Inside, Machine, Process
from tests.testbed.network import Network
from tests.testbed.registry import Registry
from tests.testbed.site import SlurmSite, free_index
from tests.testbed.slurm import SiteSpec

__all__ = [
    "Inside",
    "Machine",
    "Network",
    "Process",
    "Registry",
    "SiteSpec",
    "SlurmSite",
    "TestbedError",
    "free_index",
    "wait_until",
]
