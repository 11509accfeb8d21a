"""What a pod needs in all, where containers, init containers and sidecars share it."""

from __future__ import annotations

from typing import Any

import pytest

from farnode.errors import Invalid
from farnode.model.demand import Demand
from farnode.model.gpu import demand
from farnode.model.pod import parse_pod
from farnode.model.qos import qos_class

from .samples import container, pod

Requests = dict[str, Any]


def init(name: str, cpu: str, **fields: Any) -> Any:
    return container(name=name, resources={"requests": {"cpu": cpu}}, **fields)


def sidecar(name: str, cpu: str) -> Any:
    return init(name, cpu, restartPolicy="Always")


def needs(**spec: Any) -> Demand:
    return demand(parse_pod(pod(**spec)))


@pytest.mark.parametrize(
    ("inits", "cores"),
    [
        ([], 2),
        ([init("a", "1")], 2),
        ([init("a", "5"), init("b", "3")], 5),
        ([sidecar("s", "1")], 3),
        ([sidecar("s", "1"), init("a", "1")], 3),
        ([sidecar("s", "1"), init("a", "4")], 5),
        ([init("a", "4"), sidecar("s", "1")], 4),
        ([sidecar("s", "1"), init("a", "3"), sidecar("t", "2"), init("b", "1")], 5),
        ([sidecar("s", "1"), sidecar("t", "2"), init("a", "6")], 9),
    ],
)
def test_an_init_container_runs_beside_the_sidecars_before_it(inits: list[Any], cores: int) -> None:
    """https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers"""
    assert needs(initContainers=inits, containers=[init("main", "2")]).millicores == cores * 1000


def test_a_sidecar_keeps_its_gpus() -> None:
    def with_gpus(name: str, count: int, **fields: Any) -> Any:
        return container(name=name, resources={"limits": {"nvidia.com/gpu": count}}, **fields)

    found = needs(
        initContainers=[with_gpus("s", 1, restartPolicy="Always"), with_gpus("i", 4)], containers=[with_gpus("main", 2)]
    )
    assert found.gpu is not None
    assert found.gpu.count == 5


def test_amounts_are_rounded_once_as_a_sum() -> None:
    assert needs(containers=[init("a", "1500u"), init("b", "1500u")]).millicores == 3


@pytest.mark.parametrize(
    ("resources", "asked", "expected"),
    [
        ({"requests": {"cpu": "3", "memory": "1Gi"}}, {"cpu": "1"}, (3000, 2**30)),
        ({"limits": {"cpu": "3", "memory": "1Gi"}}, {}, (3000, 2**30)),
        ({"limits": {"cpu": "3", "memory": "1Gi"}}, {"cpu": "2"}, (2000, 2**30)),
        ({"limits": {"cpu": "3"}, "requests": {"cpu": "2500m"}}, {"cpu": "2", "memory": "1Mi"}, (2500, 2**20)),
        ({}, {"cpu": "2"}, (2000, 0)),
    ],
)
def test_what_the_pod_itself_asks_for_goes_before_the_sum(
    resources: Requests, asked: Requests, expected: tuple[int, int]
) -> None:
    """https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#pod-level-resource-specification"""
    found = needs(resources=resources, containers=[container(resources={"requests": asked})])
    assert (found.millicores, found.memory) == expected


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "2"}}, "Burstable"),
        ({"limits": {"cpu": "2"}}, "Burstable"),
        ({"limits": {"cpu": "2", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}, "Burstable"),
    ],
)
def test_what_the_pod_itself_asks_for_decides_its_quality_of_service(resources: Requests, qos: str) -> None:
    """https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/"""
    assert qos_class(parse_pod(pod(resources=resources))) == qos


@pytest.mark.parametrize(
    ("resources", "own", "field", "problem"),
    [
        (
            {"requests": {"cpu": "1"}},
            {"requests": {"cpu": "2"}},
            "spec.resources.requests[cpu]",
            "1 is less than its containers ask for, 2",
        ),
        (
            {"limits": {"cpu": "1"}},
            {"requests": {"cpu": "2"}},
            "spec.resources.limits[cpu]",
            "1 is less than what is asked for, 2",
        ),
        (
            {"limits": {"memory": "1Gi"}, "requests": {"memory": "2Gi"}},
            {},
            "spec.resources.limits[memory]",
            "1Gi is less than what is asked for, 2Gi",
        ),
        (
            {"limits": {"memory": "1Gi"}},
            {"limits": {"memory": "2Gi"}, "requests": {"memory": "1Mi"}},
            "spec.containers[0].resources.limits[memory]",
            "2Gi is more than the limit of the pod, 1Gi",
        ),
        (
            {"limits": {"nvidia.com/gpu": 1}},
            {},
            "spec.resources",
            "nvidia.com/gpu cannot be given to a pod as a whole; give it to a container",
        ),
        ({"limits": {"cpu": "x"}}, {}, "spec.resources.limits[cpu]", "'x' is not a quantity"),
    ],
)
def test_refused(resources: Requests, own: Requests, field: str, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_pod(pod(resources=resources, containers=[container(resources=own)]))
    assert caught.value.field == field
    assert caught.value.problem.startswith(problem)
