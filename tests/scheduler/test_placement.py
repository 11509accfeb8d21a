"""Where a pod of several nodes fits."""

from __future__ import annotations

from farnode.model.demand import Demand, GpuDemand
from farnode.model.offer import GpuOffer, Offer
from farnode.scheduler.placement import Placement, Unfit, place

GIB = 1 << 30
A100, H100 = GpuOffer("nvidia.com", "a100", 4), GpuOffer("nvidia.com", "h100", 4)
OFFERS = (
    Offer("main.a100", 16, 64 * GIB, nodes=3, partition="main", default=True, gpus=(A100,)),
    Offer("main.h100", 16, 64 * GIB, nodes=2, partition="main", default=True, gpus=(H100,)),
    Offer("fat", 64, 512 * GIB, nodes=2, partition="fat"),
)


def found(**demand: object) -> str:
    placement = place(Demand(1000, GIB, **demand), OFFERS)  # type: ignore[arg-type]
    return placement.offer.name if isinstance(placement, Placement) else placement.words


def test_the_nodes_of_one_job_need_not_be_alike() -> None:
    assert found(nodes=5) == "main.a100"
    assert found(nodes=2) == "fat", "which wastes no GPUs"


def test_those_with_gpus_of_one_type_are_alike() -> None:
    assert found(nodes=3, gpu=GpuDemand("nvidia.com/gpu", 4)) == "main.a100"
    words = found(nodes=4, gpu=GpuDemand("nvidia.com/gpu", 4))
    assert words.endswith("main: needs 4 nodes in one job, has 3 that fit")


def test_a_job_is_in_one_partition() -> None:
    placement = place(Demand(1000, GIB, nodes=6), OFFERS)
    assert placement == Unfit(
        "main: needs 6 nodes in one job, has 5 that fit; fat: needs 6 nodes in one job, has 2 that fit"
    )
