"""What a site can give *this account*: the inventory a provider reports and the scheduler chooses from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuOffer:
    """GPUs of one type on each node of an offer. `vendor` is the resource prefix (`nvidia.com`, `amd.com`,
    `gpu.intel.com`); `model` the batch system's type name, which is also what is asked of it ("" where untyped);
    `mig` the MIG profile (`1g.10gb`) where the type is one; `memory` bytes per device where the site says it."""

    vendor: str
    model: str
    count: int
    memory: int | None = None
    mig: str | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A kind of node of one partition. `cores` and `memory` (bytes) are of one node; `max_walltime` in seconds, None
    without limit. `accounts` and `qos` are those this account may name here, its default first; empty: none need be
    named. `max_submit`: how many allocations may be queued or running at once, None without limit.
    `standing`: one allocation of the whole node is kept for all pods instead of one per pod. `problem`: why nothing
    starts here now (a partition that is down), in words; None when all is well."""

    name: str
    cores: int
    memory: int
    nodes: int = 1
    partition: str | None = None
    default: bool = False
    gpus: tuple[GpuOffer, ...] = ()
    max_walltime: int | None = None
    accounts: tuple[str, ...] = ()
    qos: tuple[str, ...] = ()
    max_submit: int | None = None
    standing: bool = False
    problem: str | None = None
