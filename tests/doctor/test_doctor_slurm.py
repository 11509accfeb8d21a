"""The doctor on a login node of a real Slurm, as an ordinary user; and what it says of sites that are not well."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.testbed import SiteSpec, SlurmSite, free_index

pytestmark = pytest.mark.system

Doctor = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def box() -> Iterator[SlurmSite]:
    with SlurmSite(SiteSpec(index=free_index(), accounting=True, registry=True)) as box:
        yield box


@pytest.fixture(scope="module")
def doctor(box: SlurmSite) -> Doctor:
    def examine(**settings: Any) -> subprocess.CompletedProcess[str]:
        text = yaml.safe_dump({"site": "box", "provider": "slurm", **settings})
        box.run("alice", ["tee", "gateway.yaml"], input=text)
        return box.run("alice", ["farnode", "doctor", "-c", "gateway.yaml"], check=False, timeout=200)

    return examine


def test_a_site_that_is_well(box: SlurmSite, doctor: Doctor) -> None:
    done = doctor(images={"registries": {box.registry.name: {"insecure": True}}})
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in lines if not line.startswith("ok ")] == []
    for words in (
        "batch system: slurm answers (slurm-wlm 24.11",
        "partitions main, short; up to 16 cores and 15 GiB on a node; GPUs on a node: 4 x a100 or 2 x h100",
        "accounts proj1",
        "python: /usr/bin/python3 is Python 3.",
        "runners' address: edge is reached from the node",
        "runtimes: apptainer (apptainer version 1.",
        "GPUs: one was asked for and given: CUDA_VISIBLE_DEVICES=",
        f"registry: {box.registry.name} answers",
    ):
        assert words in done.stdout
    left = box.run("alice", ["find", ".farnode", ".local", "/tmp", "-mindepth", "1"], check=False)
    assert left.stdout == ""
    assert box.run("alice", ["squeue", "-h"]).stdout == ""
    for node in (1, 2):
        assert box.run("alice", ["find", "/tmp", "/dev/shm", "-user", "alice"], node=node).stdout == ""


def test_its_jobs_are_ours_to_recognise(box: SlurmSite, doctor: Doctor) -> None:
    done = doctor()
    assert done.returncode == 0, done.stdout + done.stderr
    rows = box.run("alice", ["squeue", "-h", "-t", "all", "-O", "name:40,account:10,comment:40"]).stdout.splitlines()
    assert rows
    for row in rows:
        name, account, comment = row.split(maxsplit=2)
        assert (name.startswith("farnode-"), account, comment.strip()) == (True, "proj1", "farnode site=box doctor")


def test_a_spool_that_is_not_shared(doctor: Doctor) -> None:
    done = doctor(spool="/var/tmp/spool")
    assert done.returncode == 1
    assert "FAIL  job: ran on n1, and nothing it wrote has arrived in /var/tmp/spool" in done.stdout
    assert "set `spool` to a directory that this host and compute nodes share" in done.stdout


def test_an_advertised_name_that_nodes_do_not_know(doctor: Doctor) -> None:
    done = doctor(runners={"advertise": "login.nowhere"})
    assert done.returncode == 1
    assert "FAIL  runners' address: login.nowhere is not a name that this node can resolve" in done.stdout


def test_an_advertised_address_that_nodes_do_not_reach(box: SlurmSite, doctor: Doctor) -> None:
    done = doctor(runners={"advertise": box.network.hub})
    assert done.returncode == 1
    assert f"FAIL  runners' address: {box.network.hub}:" in done.stdout


def test_another_python_than_the_configured_one(doctor: Doctor) -> None:
    done = doctor(python="/opt/python/bin/python3")
    assert done.returncode == 0
    assert "warn  python: /usr/bin/python3 is Python 3." in done.stdout
    assert "set `python: /usr/bin/python3`" in done.stdout


def test_nodes_without_python(box: SlurmSite, doctor: Doctor) -> None:
    hide = "cd /usr/bin && for p in python3*; do mv $p .hidden-$p; done"
    show = "cd /usr/bin && for p in .hidden-python3*; do mv $p ${p#.hidden-}; done"
    for node in (1, 2):
        box.run("root", ["sh", "-c", hide], node=node)
    try:
        done = doctor()
    finally:
        for node in (1, 2):
            box.run("root", ["sh", "-c", show], node=node)
    assert done.returncode == 1
    assert "FAIL  job: no Python 3.9 or newer (with ctypes and ssl) on n" in done.stdout
    assert "set `python` to an interpreter of compute nodes" in done.stdout


def test_nodes_without_apptainer(box: SlurmSite, doctor: Doctor) -> None:
    for node in (1, 2):
        box.run("root", ["mv", "/usr/bin/apptainer", "/usr/bin/.apptainer"], node=node)
    try:
        done = doctor(runtimes=["apptainer"])
    finally:
        for node in (1, 2):
            box.run("root", ["mv", "/usr/bin/.apptainer", "/usr/bin/apptainer"], node=node)
    assert done.returncode == 1
    words = "none works there: apptainer: there is no apptainer or singularity on PATH"
    assert f"FAIL  runtimes: {words}" in done.stdout
    assert "podman" in done.stdout


def test_a_queue_that_is_shut(box: SlurmSite, doctor: Doctor) -> None:
    """No job is submitted to it."""
    box.run("root", ["scontrol", "update", "partitionname=main", "state=down"])
    box.run("root", ["scontrol", "update", "partitionname=short", "state=down"])
    try:
        done = doctor()
    finally:
        box.run("root", ["scontrol", "update", "partitionname=main", "state=up"])
        box.run("root", ["scontrol", "update", "partitionname=short", "state=up"])
    assert done.returncode == 1
    assert "FAIL  offers: main.a100x4: the partition is down" in done.stdout


def test_a_controller_that_is_away(box: SlurmSite, doctor: Doctor) -> None:
    box.stop_slurmctld()
    try:
        done = doctor()
    finally:
        box.start_slurmctld()
    assert done.returncode == 1
    assert "FAIL  batch system: scontrol failed: " in done.stdout
    box.wait_idle()


def test_a_gateway_that_runs(box: SlurmSite, doctor: Doctor) -> None:
    """Its own port is dialled, and it must show its own certificate."""
    settings = {"runners": {"listen": "0.0.0.0:7453", "advertise": "edge"}}
    box.run("alice", ["tee", "gateway.yaml"], input=yaml.safe_dump({"site": "box", "provider": "slurm", **settings}))
    with box.popen("alice", ["farnode", "gateway", "start", "-c", "gateway.yaml"]) as gateway:
        try:
            assert gateway.stderr is not None
            assert any("answering at" in line for line in gateway.stderr)
            done = doctor(**settings)
        finally:
            gateway.terminate()
            gateway.communicate(timeout=30)
    assert done.returncode == 0, done.stdout
    assert "serves this site and answers at unix:/home/alice/.local/state/farnode/box/gateway.sock" in done.stdout
