from __future__ import annotations

from typing import Any

import pytest

from farnode.errors import Invalid
from farnode.model.demand import Demand, Gang, GpuDemand
from farnode.model.gpu import TABLE, demand, fits, gpus_of, is_gpu, mig_profile
from farnode.model.offer import GpuOffer
from farnode.model.pod import parse_pod

from .samples import annotated, container, one, pod

A100 = GpuOffer("nvidia.com", "nvidia_a100-sxm4-40gb", 4, 40 * 2**30)


def asking(limits: Any, requests: Any = None, name: str = "main") -> Any:
    return container(name=name, resources={"limits": limits, **({"requests": requests} if requests else {})})


def needs(**spec: Any) -> Demand:
    return demand(parse_pod(pod(**spec)))


def test_a_pod_that_asks_for_nothing_needs_one_core() -> None:
    assert needs() == Demand(millicores=1000, memory=0)


def test_requests_count_and_limits_where_there_are_none() -> None:
    found = needs(containers=[asking({"cpu": "4", "memory": "2Gi"}, {"cpu": "1500m"}), asking({"memory": 1}, name="b")])
    assert (found.millicores, found.memory) == (1500, 2 * 2**30 + 1)


def test_the_larger_of_the_sum_and_the_largest_init_container() -> None:
    found = needs(
        initContainers=[asking({"cpu": "3", "memory": "1Gi"}, name="i"), asking({"memory": "5Gi"}, name="j")],
        containers=[asking({"cpu": "1", "memory": "2Gi"}), asking({"cpu": "1", "memory": "2Gi"}, name="b")],
    )
    assert (found.millicores, found.memory) == (3000, 5 * 2**30)


@pytest.mark.parametrize(
    ("document", "walltime"),
    [
        (pod(), None),
        (pod(activeDeadlineSeconds=60), 60),
        (annotated(walltime="2h"), 7200),
        ({**annotated(walltime="2h"), "spec": pod(activeDeadlineSeconds=60)["spec"]}, 7200),
    ],
)
def test_walltime(document: Any, walltime: int | None) -> None:
    assert demand(parse_pod(document)).walltime == walltime


def test_what_annotations_and_the_node_selector_add() -> None:
    document = annotated(partition="gpu", account="a", qos="q", runtime="process", queue_timeout="1h")
    document["spec"]["nodeSelector"] = {"b": "2", "a": "1"}
    found = demand(parse_pod(document))
    assert (found.partition, found.account, found.qos, found.runtime, found.queue_timeout) == (
        *("gpu", "a", "q", "process"),
        3600,
    )
    assert found.node_selector == (("a", "1"), ("b", "2"))


def test_how_it_is_to_be_run() -> None:
    found = needs(priority=-5, terminationGracePeriodSeconds=7)
    assert (found.priority, found.grace, found.pooled) == (-5, 7.0, True)
    assert demand(parse_pod(annotated(dedicated="true"))).dedicated
    assert demand(parse_pod(annotated(nodes="4"))).nodes == 4
    assert demand(parse_pod(annotated(gang="g", gang_size="2"))).gang == Gang("default", "g", 2, "stop")
    for own in ({"dedicated": "true"}, {"nodes": "4"}, {"gang": "g", "gang_size": "2", "gang_failure": "ignore"}):
        assert not demand(parse_pod(annotated(**own))).pooled


def test_gpus_of_all_containers() -> None:
    document = annotated(gpu_model="a100", gpu_memory="40Gi")
    document["spec"] = pod(
        initContainers=[asking({"nvidia.com/gpu": 1}, name="init")],
        containers=[asking({"nvidia.com/gpu": "2"}), asking({"nvidia.com/gpu": 1}, name="b"), container(name="c")],
    )["spec"]
    parsed = parse_pod(document)
    assert demand(parsed).gpu == GpuDemand("nvidia.com/gpu", 3, "a100", 40 * 2**30)
    assert [gpus_of(one) for one in parsed.all_containers] == [1, 2, 1, 0]


def test_zero_gpus_are_no_gpus() -> None:
    assert needs(containers=[asking({"nvidia.com/gpu": 0, "amd.com/gpu": 0})]).gpu is None


@pytest.mark.parametrize(
    ("name", "known", "profile"),
    [
        ("nvidia.com/gpu", True, None),
        ("nvidia.com/mig-1g.10gb", True, "1g.10gb"),
        ("nvidia.com/mig-1c.3g.20gb", True, "1c.3g.20gb"),
        ("nvidia.com/mig-1g.10gb.me", True, "1g.10gb.me"),
        ("amd.com/gpu", True, None),
        ("gpu.intel.com/i915", True, None),
        ("gpu.intel.com/xe", True, None),
        ("nvidia.com/gpu.shared", False, None),
        ("nvidia.com/mig-big", False, "big"),
        ("example.com/gpu", False, None),
        ("cpu", False, None),
    ],
)
def test_names(name: str, known: bool, profile: str | None) -> None:
    assert (is_gpu(name), mig_profile(name)) == (known, profile)


def test_examples_of_the_table_are_gpus() -> None:
    assert all(is_gpu(row.example) for row in TABLE)


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        (
            one(resources={"limits": {"example.com/fpga": 1}}),
            "spec.containers[0].resources.limits[example.com/fpga]",
            "GPUs are asked for as nvidia.com/gpu, nvidia.com/mig-1g.10gb, amd.com/gpu",
        ),
        (
            pod(containers=[asking({"nvidia.com/gpu": 1}), asking({"amd.com/gpu": 1}, name="b")]),
            "spec.containers[1].resources.limits[amd.com/gpu]",
            "already asks for nvidia.com/gpu",
        ),
        (annotated(gpu_model="a100"), "metadata.annotations[farnode.io/gpu-model]", "needs a GPU in the limits"),
        (annotated(gpu_memory="1Gi"), "metadata.annotations[farnode.io/gpu-memory]", "needs a GPU in the limits"),
    ],
)
def test_refused(document: Any, field: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        demand(parse_pod(document))
    assert caught.value.field == field
    assert words in caught.value.problem


@pytest.mark.parametrize(
    ("gpu", "offer", "fit"),
    [
        (GpuDemand("nvidia.com/gpu", 4), A100, True),
        (GpuDemand("nvidia.com/gpu", 5), A100, False),
        (GpuDemand("amd.com/gpu", 1), A100, False),
        (GpuDemand("nvidia.com/gpu", 1, "A100"), A100, True),
        (GpuDemand("nvidia.com/gpu", 1, "a100-40gb"), A100, True),
        (GpuDemand("nvidia.com/gpu", 1, "a10"), A100, False),
        (GpuDemand("nvidia.com/gpu", 1, "h100"), A100, False),
        (GpuDemand("nvidia.com/gpu", 1, "a100"), GpuOffer("nvidia.com", "", 4), False),
        (GpuDemand("nvidia.com/gpu", 1), GpuOffer("nvidia.com", "", 4), True),
        (GpuDemand("nvidia.com/gpu", 1, None, 40 * 2**30), A100, True),
        (GpuDemand("nvidia.com/gpu", 1, None, 41 * 2**30), A100, False),
        (GpuDemand("nvidia.com/gpu", 1, None, 1), GpuOffer("nvidia.com", "x", 1), False),
        (GpuDemand("nvidia.com/gpu", 1), GpuOffer("nvidia.com", "a100_1g.5gb", 7, mig="1g.5gb"), False),
        (GpuDemand("nvidia.com/mig-1g.5gb", 1), GpuOffer("nvidia.com", "a100_1g.5gb", 7, mig="1g.5gb"), True),
        (GpuDemand("nvidia.com/mig-2g.5gb", 1), GpuOffer("nvidia.com", "a100_1g.5gb", 7, mig="1g.5gb"), False),
        (GpuDemand("nvidia.com/mig-1g.5gb", 1), A100, False),
        (GpuDemand("gpu.intel.com/xe", 1), GpuOffer("gpu.intel.com", "max1550", 6), True),
    ],
)
def test_fits(gpu: GpuDemand, offer: GpuOffer, fit: bool) -> None:
    assert fits(gpu, offer) is fit
