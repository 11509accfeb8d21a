"""What a pod needs of a site, in the numbers the scheduler and the batch systems count with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuDemand:
    """Whole devices (or MIG instances) of one kind.

    `resource` is the Kubernetes resource name (`nvidia.com/gpu`, `nvidia.com/mig-1g.10gb`, `amd.com/gpu`,
    `gpu.intel.com/i915` …); `model` a site's type name (`a100`), any when None; `memory` the least bytes per device.
    """

    resource: str
    count: int
    model: str | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Gang:
    """Pods of one owner and namespace that start together or not at all. `failure`: what a member that fails means for
    the others: `stop` ends them, `ignore` leaves them alone."""

    namespace: str
    name: str
    size: int
    failure: str = "stop"


@dataclass(frozen=True, slots=True)
class Demand:
    """`millicores` and `memory` (bytes) are the pod's effective requests (limits where no request is given): what is
    asked for it as a whole, else the most its containers need at one moment. `walltime` (seconds) is what the
    allocation must last for this pod, before grace and margin; None: the site's default. `runtime` None: the site's
    first that fits. `ports` are those its containers and probes name, sorted: pods use their node's own network, where
    a port is had by one. `priority` as Kubernetes': the higher goes first. `grace` (seconds) is the pod's own, which
    its allocation must leave it. `dedicated`: it wants an allocation of its own; `nodes` more than 1: one of so many
    nodes, each with the cores, memory and GPUs asked for, on the first of which it runs."""

    millicores: int
    memory: int
    gpu: GpuDemand | None = None
    walltime: int | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    runtime: str | None = None
    queue_timeout: float | None = None
    node_selector: tuple[tuple[str, str], ...] = ()
    ports: tuple[int, ...] = ()
    priority: int = 0
    grace: float = 30.0
    dedicated: bool = False
    nodes: int = 1
    gang: Gang | None = None

    @property
    def pooled(self) -> bool:
        """Whether it may run in an allocation beside other pods."""
        return not self.dedicated and self.nodes == 1 and self.gang is None
