"""Gangs on real nodes: they start together in one job, know each other, and share their fate as they said."""

from __future__ import annotations

import time

import pytest

from farnode import Client
from tests.faults.sites import INSIDE, kill, of_attempts, of_role, relaunch
from tests.gangs.band import FAREWELL, Band, gang
from tests.gangs.conftest import FENCE, NODES
from tests.sites import BoxSite

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

MEET = """\
import os, socket, time
rank, size = int(os.environ["FARNODE_GANG_RANK"]), int(os.environ["FARNODE_GANG_SIZE"])
hosts = os.environ["FARNODE_GANG_HOSTS"].split(",")
if rank == 0:
    with socket.create_server(("", 7000)) as server:
        heard = []
        while len(heard) < size - 1:
            peer = server.accept()[0]
            heard.append(peer.makefile().readline().strip())
            peer.sendall(b"welcome\\n")
            peer.close()
    print(sorted(heard), flush=True)
else:
    for _ in range(200):
        try:
            peer = socket.create_connection((hosts[0], 7000))
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    peer.sendall(f"{rank} from {socket.gethostname()}\\n".encode())
    print(peer.makefile().readline().strip(), flush=True)
"""
LISTEN = "echo welcome | nc -l -p 7000"
CALL = "until nc named-0 7000 2>/dev/null; do sleep 0.1; done"
STAY = f"{FAREWELL}; while :; do sleep 0.1; done"


def submit(site: BoxSite, client: Client, *arguments: str, size: int = NODES, **more: str) -> Band:
    name, script = arguments
    return Band(site, client, client.submit(gang(name, size, script, **more)))


def test_members_start_together_and_reach_each_other_by_host_name(site: BoxSite) -> None:
    with site.client() as client:
        script = f"exec python3 - <<'END'\n{MEET}END\n"
        band = submit(site, client, "meet", f"sleep 1\n{script}")
        band.wait(lambda: all(pod.attempt == 1 for pod in map(client.pod, band.pods)), "all begin")
        assert len(band.jobs()) == 1
        assert sorted(band.node(rank) for rank in range(NODES)) == [1, 2, 3, 4]
        ended = [client.wait(pod) for pod in band.pods]
        assert {pod.phase for pod in ended} == {"Succeeded"}, [pod.status for pod in ended]
        hosts = {rank: band.node(rank) for rank in range(1, NODES)}
        heard = sorted(f"{rank} from n{node}" for rank, node in hosts.items())
        assert band.log(0) == str(heard)
        assert {band.log(rank) for rank in range(1, NODES)} == {"welcome"}
        begun = [pod.status["containerStatuses"][0]["state"]["terminated"]["startedAt"] for pod in ended]
        assert len(set(begun)) <= 2, f"they start within a second: {begun}"
        band.wait(lambda: not band.jobs(), "the job ends by itself")


def test_members_with_an_image_know_each_other_by_their_names(site: BoxSite) -> None:
    with site.client() as client:
        pods = gang("named", 2, "")
        for pod, command in zip(pods, (LISTEN, CALL), strict=True):
            pod["metadata"]["annotations"]["farnode.io/runtime"] = "apptainer"
            pod["spec"]["containers"][0] |= {"image": site.image("busybox:1"), "command": ["sh", "-c", command]}
        band = Band(site, client, client.submit(pods))
        ended = [client.wait(pod) for pod in band.pods]
        assert {pod.phase for pod in ended} == {"Succeeded"}, [band.log(0), band.log(1)]
        assert band.log(1) == "welcome"


def test_a_gang_that_lacks_a_member_or_a_node_does_not_start(site: BoxSite) -> None:
    site.box.run("root", ["scontrol", "update", "nodename=n3", "state=drain", "reason=broken"])
    try:
        with site.client() as client:
            band = submit(site, client, "few", "true")
            band.wait(lambda: band.says("nodes") == NODES, "they say that a node is missing")
            assert band.phases() == ["Pending"] * NODES
            client.delete(band.pods[3])
            band.wait(lambda: band.says("3 of 4 are here") == 3, "they say that a member is missing")
            for pod in band.pods:
                client.delete(pod)
    finally:
        site.box.run("root", ["scontrol", "update", "nodename=n3", "state=resume"])


def test_a_node_that_cannot_run_its_member_holds_all_back(site: BoxSite) -> None:
    python = site.box.run("root", ["readlink", "-f", "/usr/bin/python3"], node=2).stdout.strip()
    site.box.run("root", ["chmod", "000", python], node=2)
    try:
        with site.client() as client:
            band = submit(site, client, "held", "true")
            band.wait(lambda: band.says("no Python 3.9 or newer") == NODES, "they say what is wrong", 60)
            assert not of_attempts(site)
            assert {pod.attempt for pod in map(client.pod, band.pods)} == {0}
            site.box.run("root", ["chmod", "755", python], node=2)
            assert {client.wait(pod).phase for pod in band.pods} == {"Succeeded"}
    finally:
        site.box.run("root", ["chmod", "755", python], node=2)


def test_a_gateway_that_dies_while_they_come_starts_each_once(site: BoxSite) -> None:
    with site.client() as client:
        script = f"echo $FARNODE_ATTEMPT >>{INSIDE}/begun; {STAY}"
        band = submit(site, client, "orphans", script)
        band.wait(band.jobs, "their job is in the queue")
        relaunch(site)
        band.begin()
        begun = (site.directory / "begun").read_text().split()
        assert sorted(begun) == sorted(f"{pod.uid}/1" for pod in band.pods)
        for pod in band.pods:
            client.delete(pod)
            client.wait(pod)


FATES = [("stop", ["Failed", "Failed", "Failed"]), ("ignore", ["Running", "Failed", "Running"])]


@pytest.mark.parametrize(("failure", "phases"), FATES)
def test_a_member_that_is_killed(site: BoxSite, failure: str, phases: list[str]) -> None:
    with site.client() as client:
        band = submit(site, client, f"killed-{failure}", STAY, size=3, failure=failure)
        band.begin()
        for process in of_attempts(site)[f"{band.pods[1].uid}/1"]:
            kill(site, process)
        client.wait(band.pods[1])
        if failure == "stop":
            others = [client.wait(band.pods[rank]) for rank in (0, 2)]
            assert {pod.status["reason"] for pod in others} == {"GangMemberFailed"}
            assert all("killed-stop-1" in pod.status["message"] for pod in others)
            assert {band.log(rank) for rank in (0, 2)} == {"stopped"}, "within their grace"
        assert band.phases() == phases
        for pod in band.pods:
            client.delete(pod)
            client.wait(pod)
        band.wait(lambda: not band.jobs(), "the job ends by itself")


def test_a_node_that_fails_starts_all_again(site: BoxSite) -> None:
    with site.client() as client:
        band = submit(site, client, "restart", f"echo attempt $FARNODE_ATTEMPT; {STAY}", size=2, policy="OnFailure")
        band.begin()
        node = band.node(1)
        site.box.power_off(node)
        try:
            band.wait(lambda: band.running(2), "they run again, on other nodes", 150)
            assert node not in [band.node(0), band.node(1)]
            assert len(band.jobs()) == 1
        finally:
            site.box.power_on(node)
        for pod in band.pods:
            client.delete(pod)
            assert client.wait(pod).attempt == 2


def test_a_runner_that_dies_alone_ends_its_gang(site: BoxSite) -> None:
    with site.client() as client:
        band = submit(site, client, "lost", STAY, size=2)
        band.begin()
        node = f"n{band.node(0)}"
        (runner,) = [one for one in of_role(site, "run") if one.node == node]
        kill(site, runner)
        killed = time.monotonic()
        ended = [client.wait(pod) for pod in band.pods]
        assert time.monotonic() - killed < FENCE, "the job script said so"
        assert ended[0].status["reason"] == "RunnerLost"
        assert ended[1].status["reason"] == "GangMemberFailed"
