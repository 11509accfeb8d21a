"""What scontrol and sacctmgr print, as offers."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farnode.model.offer import GpuOffer, Offer
from farnode.providers.slurm import cluster
from farnode.providers.slurm.accounting import Accounting, associations, qos_rows
from farnode.providers.slurm.gres import gpus
from farnode.providers.slurm.inventory import mismatch, offers
from farnode.providers.slurm.settings import SlurmSettings
from tests.providers.helpers import request

GIB = 1 << 30
PARTITIONS = """\
PartitionName=main AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES QoS=N/A DefaultTime=NONE \
Hidden=NO MaxNodes=UNLIMITED MaxTime=UNLIMITED MinNodes=0 MaxCPUsPerNode=UNLIMITED Nodes=n[1-3] PreemptMode=OFF \
State=UP TotalCPUs=48 TotalNodes=3 DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED TRES=cpu=48,mem=48000M,node=3
PartitionName=short AllowAccounts=proj2 AllowQos=short,high Default=NO QoS=capped MaxTime=1-02:00:00 \
MaxCPUsPerNode=8 MaxMemPerNode=4000 Nodes=n1 State=UP TotalNodes=1
PartitionName=shut AllowAccounts=ALL DenyAccounts=proj1 Default=NO QoS=N/A MaxTime=00:10:00 Nodes=n2 State=DOWN
"""
NODES = """\
NodeName=n1 Arch=x86_64 CoresPerSocket=1  CPUAlloc=0 CPUEfctv=14 CPUTot=16 CPULoad=0.59 AvailableFeatures=ib \
Gres=gpu:a100:2(S:0-7),gpu:1g.10gb:4(S:8-15),shard:a100:8(S:0-7) NodeAddr=n1 Version=24.11.5 \
OS=Linux 6.1.0 #1 SMP Debian State=BAD RealMemory=16000 AllocMem=0 MemSpecLimit=1000 Sockets=16 State=IDLE \
Partitions=main,short BootTime=2026-11-22T10:00:00 Comment=Gres=gpu:h100:8
NodeName=n2 CPUTot=16 Gres=(null) OS=Linux RealMemory=16000 State=DOWN*+DRAIN Partitions=main,shut \
Reason=disk State=IDLE [root@2026-11-22T16:00:00]
NodeName=n3 CPUTot=16 Gres=(null) RealMemory=16000 State=MIXED+PLANNED Partitions=main
NodeName=n4 CPUTot=16 Gres=(null) RealMemory=16000 State=FUTURE Partitions=main
"""
ASSOCIATIONS = """\
proj1|proj1||8|2-00:00:00|high,normal,short|normal
proj1|proj2||||high,short|high
proj1|proj3|shut|||normal|
"""
QOS = "normal||\nhigh||12:00:00\nshort|3|00:10:00\ncapped|2|\n"
NO_SETTINGS = SlurmSettings()


def surveyed(accounting: bool = True, **settings: object) -> dict[str, Offer]:
    rows = tuple(associations(ASSOCIATIONS)) if accounting else ()
    known = Accounting(rows, {row.name: row for row in qos_rows(QOS)} if accounting else None)
    nodes = list(cluster.nodes(NODES))
    read = SlurmSettings.read(settings)
    return {offer.name: offer for offer in offers(cluster.partitions(PARTITIONS), nodes, known, read)}


def test_one_offer_for_each_kind_of_node() -> None:
    assert set(surveyed()) == {"main", "main.a100x2-1g.10gbx4", "short.a100x2-1g.10gbx4", "shut"}


def test_an_offer_in_full() -> None:
    assert surveyed(gpuMemory={"a100": "80Gi"})["main.a100x2-1g.10gbx4"] == Offer(
        name="main.a100x2-1g.10gbx4",
        cores=14,
        memory=15000 << 20,
        nodes=1,
        partition="main",
        default=True,
        gpus=(
            GpuOffer("nvidia.com", "a100", 2, 80 * GIB),
            GpuOffer("nvidia.com", "1g.10gb", 4, 10 * GIB, mig="1g.10gb"),
        ),
        max_walltime=2 * 86400,
        accounts=("proj1", "proj2"),
        qos=("normal", "high", "short"),
        max_submit=8,
    )


def test_a_partitions_rules_narrow_what_is_offered() -> None:
    short = surveyed()["short.a100x2-1g.10gbx4"]
    assert (short.cores, short.memory) == (8, 4000 << 20)
    assert short.accounts == ("proj2",)
    assert short.qos == ("high", "short")
    assert short.max_submit == 2, "of the partition's own QOS"
    assert short.max_walltime == 12 * 3600, "the QOS gives less than the partition"


def test_nodes_that_are_down_are_not_counted() -> None:
    found = surveyed()
    assert found["main"].nodes == 1
    assert found["main"].problem is None
    assert "down" in (found["shut"].problem or "")


def test_a_kind_without_a_usable_node_says_so() -> None:
    down = NODES.replace("State=MIXED+PLANNED", "State=IDLE+DRAIN")
    found = offers(cluster.partitions(PARTITIONS), list(cluster.nodes(down)), Accounting(), NO_SETTINGS)
    assert {offer.name: offer.problem for offer in found}["main"] == "all its nodes are down or drained"


def test_the_sites_choice_comes_first() -> None:
    main = surveyed(account="proj2", qos="short")["main"]
    assert main.accounts == ("proj2", "proj1")
    assert main.qos == ("short", "high", "normal"), "its own, then the default account's"
    assert (main.max_submit, main.max_walltime) == (3, 600)


def test_only_the_partitions_the_site_lists() -> None:
    assert {offer.partition for offer in surveyed(partitions=["short"]).values()} == {"short"}


def test_without_accounting_nothing_need_be_named() -> None:
    main = surveyed(accounting=False)["main"]
    assert main.accounts == main.qos == ()
    assert surveyed(accounting=False, account="budget7")["main"].accounts == ("budget7",)


def test_nodes_alike_but_for_their_size_have_names_of_their_own() -> None:
    more = NODES + "NodeName=n5 CPUTot=64 Gres=(null) RealMemory=256000 State=IDLE Partitions=main\n"
    found = offers(cluster.partitions(PARTITIONS), list(cluster.nodes(more)), Accounting(), NO_SETTINGS)
    names = [offer.name for offer in found if offer.partition == "main"]
    assert names == ["main.a100x2-1g.10gbx4", "main.16c-15g", "main.64c-250g"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(null)", []),
        ("gpu:4", [("", 4)]),
        ("gpu", [("", 1)]),
        ("gpu:a100:2(S:0-7),gpu:h100:2(S:8-15),shard:a100:8(S:0-7),shard:h100:0(S:8-15)", [("a100", 2), ("h100", 2)]),
        ("gpu:1g.10gb:4,gpu:3g.40gb:2,mps:1g.10gb:266,mps:3g.40gb:134,fpga:2", [("1g.10gb", 4), ("3g.40gb", 2)]),
        ("gpu:a100:1(IDX:0,2),gpu:a100:1(IDX:N/A)", [("a100", 2)]),
        ("gpu:1080ti:8", [("1080ti", 8)]),
        ("gpu:0", []),
    ],
)
def test_gpus_of_a_node(text: str, expected: list[tuple[str, int]]) -> None:
    assert [(gpu.model, gpu.count) for gpu in gpus(text, NO_SETTINGS)] == expected


@pytest.mark.parametrize(
    ("model", "memory", "mig"),
    [
        ("a100", None, None),
        ("nvidia_a100_80gb_pcie", 80, None),
        ("tesla_v100-sxm2-32gb", 32, None),
        ("a100_1g.5gb", 5, "1g.5gb"),
        ("nvidia_a100_80gb_pcie_3g.40gb", 40, "3g.40gb"),
        ("t4", 16, None),
        ("mi210", 64, None),
    ],
)
def test_what_a_types_name_tells(model: str, memory: int | None, mig: str | None) -> None:
    settings = SlurmSettings.read({"gpus": {"mi210": "amd.com"}})
    (gpu,) = gpus(f"gpu:{model}:1", settings)
    assert gpu.memory == (memory * GIB if memory else None)
    assert gpu.mig == mig
    assert gpu.vendor == ("amd.com" if model == "mi210" else "nvidia.com")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("UNLIMITED", None),
        ("", None),
        ("00:10:00", 600),
        ("30", 1800),
        ("10:30", 630),
        ("1-02:00:00", 93600),
        ("2-12", 216000),
        ("1-0:30", 88200),
        ("soon", None),
    ],
)
def test_times(text: str, seconds: int | None) -> None:
    assert cluster.seconds(text) == seconds


@pytest.mark.parametrize(
    ("named", "word"),
    [
        ({"partition": "nope"}, "partition 'nope'"),
        ({"partition": "short", "account": "proj1"}, "account 'proj1'"),
        ({"partition": "main", "qos": "gold"}, "QOS 'gold'"),
        ({"partition": "main --exclusive"}, "partition"),
    ],
)
def test_what_the_inventory_lacks_never_reaches_sbatch(named: dict[str, str], word: str) -> None:
    refused = mismatch(request(**named), list(surveyed().values()))
    assert refused is not None
    assert word in refused.words
    assert not refused.again


def test_what_the_inventory_has_may_be_named() -> None:
    named = request(partition="short", account="proj2", qos="high")
    assert mismatch(named, list(surveyed().values())) is None
    assert mismatch(dataclasses.replace(named, partition=None), list(surveyed().values())) is None
    assert mismatch(request(), []) is None


PRINTED = st.text(st.sampled_from("NodeameStPrtiGgpu=:,()|-* \n0189"), max_size=200) | st.text(max_size=50)


@given(PRINTED, PRINTED, PRINTED, PRINTED)
def test_noise_is_no_offer(partitions: str, nodes: str, rows: str, qos: str) -> None:
    known = Accounting(tuple(associations(rows)), {row.name: row for row in qos_rows(qos)})
    offers(cluster.partitions(partitions), list(cluster.nodes(nodes)), known, NO_SETTINGS)
    for row in known.associations:
        offers(cluster.partitions(PARTITIONS), list(cluster.nodes(NODES)), Accounting((row,)), NO_SETTINGS)
    gpus(nodes, NO_SETTINGS)
    cluster.config(nodes)
