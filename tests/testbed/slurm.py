"""Slurm's configuration of a site, as text. Pure: what is written where is :mod:`tests.testbed.site`'s business."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.testbed.network import Network


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """What site to bring up."""

    nodes: int = 2
    accounting: bool = False
    index: int = 0
    """Picks names, subnets and directories: sites of different index can be up at once."""
    slurmd_timeout: int = 10
    """Seconds; a dead node is NODE_FAIL some 20 s later than this, or 8 s with MessageTimeout=3 in extra_conf."""
    extra_conf: Sequence[str] = ()
    """Lines for slurm.conf (preemption, partitions, limits …); they replace ours of the same key."""
    farnode: bool = True
    """Put the checkout's farnode and its dependencies on the edge."""
    registry: bool = False
    """Start a registry with test images on the hub's address."""
    alike: bool = False
    """All nodes have the GPUs of the first."""

    @property
    def name(self) -> str:
        """Short, because UNIX sockets below it must have a path of less than 100 bytes."""
        return f"s{self.index}"

    @property
    def network(self) -> Network:
        return Network(self.index, self.nodes)

    def gpus(self, node: int) -> dict[str, int]:
        """Pretended GPUs of a node by type."""
        return gpus(1 if self.alike else node)


# No `defer` in SchedulerParameters: with it every srun waits for the next scheduling cycle. With backfill every second
# a batch job starts after half a second instead of one. Without cred_expire a requeued job waits for two minutes, and
# without DefMemPerCPU a job takes a node's whole memory.
COMMON = """\
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=cred_expire=5
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key=/etc/slurm/jwt.key
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SwitchType=switch/none
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
KillWait=5
MinJobAge=300
DefMemPerCPU=500
GresTypes=gpu
JobAcctGatherType=jobacct_gather/linux
"""
ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStorageEnforce=associations,limits,qos
AccountingStorageTRES=gres/gpu,gres/gpu:a100,gres/gpu:h100
JobAcctGatherFrequency=2
PriorityType=priority/multifactor
PriorityWeightFairshare=1000
PriorityWeightAge=100
PriorityWeightQOS=500
"""
SLURMDBD = """\
AuthType=auth/munge
DbdHost=edge
DbdAddr=127.0.0.1
SlurmUser=slurm
LogFile=/var/log/slurm/slurmdbd.log
PidFile=/run/slurm/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageUser=slurm
StorageLoc=slurm_acct_db
"""


def gpus(node: int) -> dict[str, int]:
    """Pretended GPUs of a node by type: odd nodes have one type, even nodes two."""
    return {"a100": 4} if node % 2 else {"h100": 2, "a100": 2}


def slurm_conf(spec: SiteSpec) -> str:
    numbers = range(1, spec.nodes + 1)
    nodes = [
        f"NodeName=n{i} CPUs=16 RealMemory=16000 Gres=" + ",".join(f"gpu:{t}:{n}" for t, n in spec.gpus(i).items())
        for i in numbers
    ]
    ours = [
        f"ClusterName=fn{spec.index}",
        f"SlurmctldHost=edge({spec.network.edge})",
        *COMMON.splitlines(),
        f"SlurmdTimeout={spec.slurmd_timeout}",
        *(ACCOUNTING.splitlines() if spec.accounting else ()),
        *nodes,
        "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP",
        "PartitionName=short Nodes=ALL MaxTime=00:10:00 State=UP",
    ]
    many = {"NodeName", "PartitionName"}
    replaced = {line.partition("=")[0] for line in spec.extra_conf} - many
    lines = [line for line in ours if line.partition("=")[0] not in replaced]
    return "\n".join([*lines, *spec.extra_conf]) + "\n"


def gres_conf(spec: SiteSpec) -> str:
    """Odd nodes set NVIDIA's variable only; even ones are left as Slurm has it, so AMD's and Intel's appear too.

    Slurm refuses two records of one node that differ in these flags.
    """
    lines = ["AutoDetect=off"]
    for i in range(1, spec.nodes + 1):
        first = 0
        for kind, count in spec.gpus(i).items():
            files = f"/dev/pretend-gpu[{first}-{first + count - 1}]"
            flags = " Flags=nvidia_gpu_env" if i % 2 else ""
            lines.append(f"NodeName=n{i} Name=gpu Type={kind} File={files}{flags}")
            first += count
    return "\n".join(lines) + "\n"
