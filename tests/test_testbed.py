"""The site in a box keeps its promises: every claim that other tests rely on, checked on the real thing."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed import Process, Registry, SiteSpec, SlurmSite, TestbedError, free_index, wait_until
from tests.testbed.registry import PASSWORD, USER

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("apt-get") is None, reason="the testbed needs root on a Debian machine"
    ),
]

ROOT = Path(__file__).parents[1]
QUICK = ("MessageTimeout=3",)  # a dead node is noticed in half the time
LISTEN = """
import socket, sys
server = socket.create_server(("", 5555))
print("ready", flush=True)
peer, _ = server.accept()
peer.sendall(socket.gethostname().encode())
"""
CONNECT = """
import socket, sys
print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).recv(99).decode())
"""


@pytest.fixture(scope="session")
def site() -> Iterator[SlurmSite]:
    spec = SiteSpec(accounting=True, registry=True, slurmd_timeout=5, index=free_index(), extra_conf=QUICK)
    with SlurmSite(spec) as site:
        yield site


def python(site: SlurmSite, node: int | None, code: str, *args: str) -> str:
    return site.run("alice", ["python3", "-c", code, *args], node=node).stdout.strip()


def connects(site: SlurmSite, node: int | None, host: str, port: int) -> bool:
    code = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.5).close()"
    return site.run("alice", ["python3", "-c", code, host, str(port)], node=node, check=False).returncode == 0


def running(site: SlurmSite, node: int | None, *cmdline: str) -> list[Process]:
    return [p for p in site.processes(node) if p.cmdline == cmdline]


def state(site: SlurmSite, job: str) -> str:
    return site.run("root", ["squeue", "-h", "-t", "all", "-o", "%T", "-j", job]).stdout.strip()


def wait_for(site: SlurmSite, job: str, wanted: str, timeout: float = 40) -> None:
    wait_until(lambda: state(site, job) == wanted, f"job {job} is {wanted}", timeout)


def submit(site: SlurmSite, command: str, *options: str, user: str = "alice") -> str:
    argv = ["sbatch", "--parsable", "--output=/dev/null", *options, "--wrap", command]
    return site.run(user, argv).stdout.strip()


def test_a_step_runs_on_both_nodes(site: SlurmSite) -> None:
    assert sorted(site.run("alice", ["srun", "-N2", "hostname"]).stdout.split()) == ["n1", "n2"]


def test_commands_run_as_the_user_with_a_clean_environment(site: SlurmSite) -> None:
    env = dict(line.split("=", 1) for line in site.run("alice", ["env"], env={"EXTRA": "1"}).stdout.splitlines())
    assert env["HOME"] == env["PWD"] == "/home/alice"
    assert env["EXTRA"] == "1"
    assert set(env) <= {"HOME", "PWD", "OLDPWD", "USER", "LOGNAME", "SHELL", "LANG", "PATH", "EXTRA"}
    assert site.run("bob", ["id", "-u"], node=2).stdout == "1002\n"
    assert "CapEff:\t0000000000000000" in site.run("alice", ["cat", "/proc/self/status"]).stdout
    assert site.run("alice", ["cat"], input="hello").stdout == "hello"
    with pytest.raises(TestbedError, match="alice: false exited with 1"):
        site.run("alice", ["false"])


def test_signals_reach_the_command_and_timeouts_end_it(site: SlurmSite) -> None:
    with site.popen(
        "alice", ["sh", "-c", 'trap "echo told; exit 3" TERM; echo ready; while :; do sleep .01; done']
    ) as p:
        assert p.stdout is not None
        assert p.stdout.readline() == "ready\n"
        p.send_signal(signal.SIGTERM)
        assert p.communicate(timeout=5)[0] == "told\n"
        assert p.returncode == 3
    with pytest.raises(subprocess.TimeoutExpired):
        site.run("alice", ["sleep", "4711"], timeout=0.2)
    assert not [p for p in site.processes() if "4711" in p.cmdline]


def test_both_nodes_listen_on_the_same_port_and_reach_each_other(site: SlurmSite) -> None:
    listeners = [site.popen("alice", ["python3", "-c", LISTEN], node=node) for node in (1, 2)]
    for listener in listeners:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "ready\n"
    assert python(site, 1, CONNECT, "n2", "5555") == "n2"
    assert python(site, None, CONNECT, "n1", "5555") == "n1"
    for listener in listeners:
        listener.communicate(timeout=5)


@pytest.mark.parametrize("directory", ["/tmp", "/dev/shm", "/var/tmp"])
def test_a_node_shares_homes_only(site: SlurmSite, directory: str) -> None:
    site.run("alice", ["touch", f"{directory}/mine", "shared"], node=1)
    for node in (None, 2):
        assert site.run("alice", ["ls", directory], node=node).stdout == ""
        assert "shared" in site.run("alice", ["ls"], node=node).stdout.split()


def test_a_node_reaches_the_edge_and_nothing_behind_it(site: SlurmSite) -> None:
    hub, port = site.network.hub, site.registry.port
    assert connects(site, None, hub, port)
    assert connects(site, 1, "edge", 6817)
    assert not connects(site, 1, hub, port)
    site.run("root", ["ip", "route", "add", "default", "via", site.network.edge], node=1)
    try:
        assert not connects(site, 1, hub, port)
    finally:
        site.run("root", ["ip", "route", "del", "default"], node=1)


def test_the_hub_cannot_connect_into_the_site(site: SlurmSite) -> None:
    edge = f"10.77.{100 + site.spec.index}.2"
    subprocess.run(["ip", "route", "add", edge, "via", site.network.hub.removesuffix("1") + "2"], check=True)
    try:
        with pytest.raises(OSError, match="timed out"):
            socket.create_connection((edge, 6817), 0.5)
    finally:
        subprocess.run(["ip", "route", "del", edge], check=True)


@pytest.mark.parametrize(
    ("gres", "visible", "variables"),
    [
        ("gpu:a100:2", "0,1", {"CUDA_VISIBLE_DEVICES"}),
        ("gpu:h100:1", "0", {"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"}),
        ("gpu:h100:1,gpu:a100:1", "0,2", {"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"}),
    ],
)
def test_gpus_are_given_by_type_and_can_be_opened(
    site: SlurmSite, gres: str, visible: str, variables: set[str]
) -> None:
    node = "n2" if "h100" in gres else "n1"
    code = 'head -c0 "/dev/pretend-gpu${SLURM_STEP_GPUS%%,*}" && env'
    out = site.run("alice", ["srun", "-w", node, f"--gres={gres}", "sh", "-c", code]).stdout
    env = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    seen = {"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"} & set(env)
    assert seen == variables
    assert {env[name] for name in seen} == {visible}


def test_users_are_kept_apart(site: SlurmSite) -> None:
    site.run("alice", ["sh", "-c", "chmod 700 . && echo mine > secret"])
    try:
        assert site.run("bob", ["cat", "/home/alice/secret"], check=False).returncode != 0
    finally:
        site.run("alice", ["chmod", "755", "."])


def test_a_socket_in_a_home_is_reached_from_this_machine(site: SlurmSite) -> None:
    code = LISTEN.replace('create_server(("", 5555))', 'create_server("s", family=socket.AF_UNIX)')
    with site.popen("alice", ["python3", "-c", code]) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "ready\n"
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(site.home("alice") / "s"))
            assert peer.recv(99) == b"edge"


def test_processes_are_seen_as_inside(site: SlurmSite) -> None:
    with site.popen("alice", ["sleep", "99"], node=1, env={"MARK": "x"}) as sleeper:
        wait_until(lambda: bool(running(site, 1, "sleep", "99")), "sleep is seen")
        (found,) = running(site, 1, "sleep", "99")
        sleeper.kill()
    assert (found.uid, found.environ["MARK"]) == (1001, "x")
    assert site.processes(1)[0].pid == 1


def test_a_cut_link_comes_back_and_kills_nothing(site: SlurmSite) -> None:
    before = {p.pid for p in site.processes(1) if p.cmdline[:1] == ("slurmd",)}
    site.cut(1)
    try:
        assert not connects(site, None, "n1", 6818)
        assert not connects(site, 1, "edge", 6817)
    finally:
        site.mend(1)
    assert connects(site, 1, "edge", 6817)
    assert before == {p.pid for p in site.processes(1) if p.cmdline[:1] == ("slurmd",)}
    site.wait_idle()


def test_a_job_outlives_its_slurmd(site: SlurmSite) -> None:
    job = submit(site, "sleep 60", "-w", "n1")
    wait_until(lambda: bool(running(site, 1, "sleep", "60")), "the job runs")
    site.kill_slurmd(1)
    assert running(site, 1, "sleep", "60")
    site.start_slurmd(1)
    site.run("alice", ["scancel", job])
    wait_for(site, job, "CANCELLED")
    site.wait_idle()


def test_slurmctld_stops_and_comes_back_with_its_jobs(site: SlurmSite) -> None:
    job = submit(site, "true", "--begin=now+1hour")
    site.stop_slurmctld()
    assert not [p for p in site.processes() if p.cmdline[:1] == ("slurmctld",)]
    site.start_slurmctld()
    assert state(site, job) == "PENDING"
    site.run("alice", ["scancel", job])
    site.wait_idle()


def test_the_configuration_is_shared_and_can_be_changed(site: SlurmSite) -> None:
    file = site.conf / "slurm.conf"
    file.write_text(file.read_text() + "PartitionName=extra Nodes=n2 State=UP\n")
    site.run("root", ["scontrol", "reconfigure"])
    assert site.run("alice", ["srun", "-p", "extra", "hostname"]).stdout == "n2\n"
    site.wait_idle()


def test_power_off_is_a_node_failure(site: SlurmSite) -> None:
    job = submit(site, "sleep 60", "-w", "n2", "--no-requeue")
    wait_until(lambda: bool(running(site, 2, "sleep", "60")), "the job runs")
    site.power_off(2)
    assert site.processes(2) == []
    wait_for(site, job, "NODE_FAIL")
    site.power_on(2)
    site.wait_idle()


def test_accounting_knows_accounts_and_finished_jobs(site: SlurmSite) -> None:
    refused = site.run("alice", ["sbatch", "-A", "proj2", "--wrap", "true"], check=False)
    assert "Invalid account" in refused.stderr
    job = submit(site, "exit 3", "--gres=gpu:h100:1")
    wait_for(site, job, "FAILED")
    query = ["sacct", "-XnP", "-j", job, "-o", "jobid,account,state,exitcode,alloctres"]
    record = f"{job}|proj1|FAILED|3:0|"
    wait_until(lambda: site.run("alice", query).stdout.startswith(record), "sacct knows the job")
    assert "gres/gpu:h100=1" in site.run("alice", query).stdout


def test_an_image_is_pulled_at_the_edge_and_runs_on_a_node(site: SlurmSite) -> None:
    image = f"docker://{site.registry.name}/farnode/busybox"
    site.run("alice", ["apptainer", "pull", "--no-https", "busybox.sif", f"{image}:1"])
    done = site.run(
        "alice", ["srun", "-w", "n2", "apptainer", "exec", "busybox.sif", "sh", "-c", "hostname; echo $FOO"]
    )
    assert done.stdout.split() == ["n2", "image"]
    assert site.run("alice", ["apptainer", "run", "--no-https", f"{image}:entry"]).stdout == "entry cmd\n"


def test_a_registry_can_want_a_login(site: SlurmSite) -> None:
    with Registry(site.directory, site.network.hub, port=5071, login=True) as registry:
        pull = [
            "apptainer",
            "pull",
            "--no-https",
            "--force",
            "private.sif",
            f"docker://{registry.name}/farnode/busybox:1",
        ]
        refused = site.run("alice", pull, check=False)
        assert "authentication required" in refused.stderr or "unauthorized" in refused.stderr
        login = {"APPTAINER_DOCKER_USERNAME": USER, "APPTAINER_DOCKER_PASSWORD": PASSWORD}
        site.run("alice", pull, env=login)


def test_farnode_is_on_the_edge_only(site: SlurmSite) -> None:
    code = (
        "import sys; sys.path[:0] = ['/opt/farnode/meta']; import importlib.metadata as m; print(m.version('farnode'))"
    )
    assert python(site, None, code)
    assert site.run("alice", ["test", "-x", "/usr/local/bin/farnode"], check=False).returncode == 0
    assert site.run("alice", ["test", "-e", "/opt/farnode"], node=1, check=False).returncode != 0


def test_an_index_in_use_is_refused(site: SlurmSite) -> None:
    with pytest.raises(TestbedError, match=r"belongs to process .* take it down"):
        SlurmSite(SiteSpec(index=site.spec.index)).up()
    assert site.is_up()
    assert SlurmSite.attach(site.spec.index).spec == site.spec


def test_remains_of_a_killed_run_are_cleared_and_down_leaves_nothing(site: SlurmSite) -> None:
    code = """
import os
from tests.testbed import *
index = free_index()
SlurmSite(SiteSpec(nodes=3, farnode=False, registry=True, index=index)).up()
print(index, flush=True)
os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    index = int(killed.stdout)
    assert traces(index)

    with SlurmSite(SiteSpec(nodes=1, farnode=False, index=index)) as second:
        assert second.run("alice", ["srun", "hostname"]).stdout == "n1\n"
        left = second.popen("alice", ["sh", "-c", "setsid sleep 9999 & sleep 9999"], stdout=None, stderr=None)
    assert left.wait(5) != 0
    assert traces(index) == []


def traces(index: int) -> list[str]:
    """What a site of this index has on the machine: namespaces, devices, mounts, files, processes."""
    directory = SlurmSite(SiteSpec(index=index)).directory
    found = [*Path("/run/netns").glob(f"fn{index}[a-z]*"), *Path("/sys/class/net").glob(f"fn{index}[a-z]*")]
    if directory.exists():
        found.append(directory)
    lines = [line for line in Path("/proc/mounts").read_text().splitlines() if str(directory) in line]
    ours = subprocess.run(["pgrep", "-af", str(directory)], capture_output=True, text=True, check=False).stdout
    return [*map(str, found), *lines, *ours.splitlines()]
