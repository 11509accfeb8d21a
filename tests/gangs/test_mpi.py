"""One pod of several nodes: an MPI program computes over all of them, in one job of the batch system."""

from __future__ import annotations

import math
import os
import re
from typing import Any

import pytest

from tests.faults.sites import INSIDE
from tests.faults.testimony import pod
from tests.gangs.mpich import installed
from tests.sites import BoxSite, wait_until
from tests.testbed.machine import USERS

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PI = """\
import ctypes, socket
mpi = ctypes.CDLL("libmpich.so.12")
WORLD, DOUBLE, SUM = 0x44000000, 0x4C00080B, 0x58000003  # of MPICH's ABI
STEPS = 1_000_000
mpi.MPI_Init(None, None)
rank, size = ctypes.c_int(), ctypes.c_int()
mpi.MPI_Comm_rank(WORLD, ctypes.byref(rank))
mpi.MPI_Comm_size(WORLD, ctypes.byref(size))
own = range(rank.value, STEPS, size.value)
mine = ctypes.c_double(sum(4 / (1 + ((i + 0.5) / STEPS) ** 2) for i in own) / STEPS)
total = ctypes.c_double()
mpi.MPI_Reduce(ctypes.byref(mine), ctypes.byref(total), 1, DOUBLE, SUM, 0, WORLD)
print(f"rank {rank.value} of {size.value} on {socket.gethostname()}", flush=True)
if rank.value == 0:
    print(f"pi is {total.value:.12f}", flush=True)
mpi.MPI_Finalize()
"""
LAUNCHERS = {
    "srun": "srun --mpi=pmi2 --ntasks-per-node=1 --ntasks={nodes} python3 {program}",
    "mpiexec": "{mpich}/mpiexec.hydra -ppn 1 -n {nodes} python3 {program}",
}


@pytest.fixture(scope="module")
def mpich(site: BoxSite) -> str:
    program = site.directory / "pi.py"
    program.write_text(PI)
    os.chown(program, USERS["alice"], USERS["alice"])
    return installed(site.box, "alice")


def computing(name: str, nodes: int, launcher: str, mpich: str) -> dict[str, Any]:
    command = LAUNCHERS[launcher].format(nodes=nodes, program=f"{INSIDE}/pi.py", mpich=mpich)
    made = pod(name, f"squeue -h -o '%A %D'; {command}")
    made["metadata"]["annotations"]["farnode.io/nodes"] = str(nodes)
    made["spec"]["containers"][0]["env"] = [{"name": "LD_LIBRARY_PATH", "value": mpich}]
    made["spec"]["containers"][0]["workingDir"] = INSIDE  # mpiexec's proxies go where it was started, on every node
    return made


@pytest.mark.parametrize(("launcher", "nodes"), [("srun", 4), ("srun", 2), ("mpiexec", 4)])
def test_an_mpi_program_computes_over_the_nodes(site: BoxSite, mpich: str, launcher: str, nodes: int) -> None:
    with site.client() as client:
        ended = client.run(computing(f"{launcher}-{nodes}", nodes, launcher, mpich))
        log = b"".join(client.logs(ended)).decode()
        assert ended.phase == "Succeeded", log
        ranks = re.findall(r"^rank (\d) of (\d) on (n\d)$", log, re.MULTILINE)
        assert sorted(int(rank) for rank, _, _ in ranks) == list(range(nodes)), log
        assert len({node for _, _, node in ranks}) == nodes, "each is on a node of its own"
        (found,) = re.findall(r"^pi is (.*)$", log, re.MULTILINE)
        assert abs(float(found) - math.pi) < 1e-9
        jobs = re.findall(r"^(\d+) (\d+)$", log, re.MULTILINE)
        assert [int(count) for job, count in jobs if job == ended.allocation["job"]] == [nodes]
        wait_until(lambda: ended.allocation["job"] not in _queue(site), "the job ends by itself")


def test_a_pod_of_more_nodes_than_are_up_waits_for_them(site: BoxSite, mpich: str) -> None:
    site.box.run("root", ["scontrol", "update", "nodename=n4", "state=drain", "reason=broken"])
    try:
        with site.client() as client:
            (made,) = client.submit(computing("four", 4, "srun", mpich))
            wait_until(lambda: "nodes" in client.pod(made).status.get("message", ""), "it says what it waits for")
            site.box.run("root", ["scontrol", "update", "nodename=n4", "state=resume"])
            assert client.wait(made).phase == "Succeeded"
            (five,) = client.submit(computing("five", 5, "srun", mpich))
            words = "main: needs 5 nodes in one job, has 4 that fit"
            wait_until(lambda: words in client.pod(five).status.get("message", ""), "it says what it waits for")
            client.delete(five)
    finally:
        site.box.run("root", ["scontrol", "update", "nodename=n4", "state=resume"], check=False)


def _queue(site: BoxSite) -> list[str]:
    return site.box.run("alice", ["squeue", "-h", "-o", "%A"]).stdout.split()
