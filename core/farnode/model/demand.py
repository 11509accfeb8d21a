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
class Demand:
    """`millicores` and `memory` (bytes) are the pod's effective requests (limits where no request is given): what is
    asked for it as a whole, else the most its containers need at one moment. `walltime` (seconds) is what the
    allocation must last for this pod, before grace and margin; None: the site's default. `runtime` None: the site's
    first that fits. `ports` are those its containers and probes name, sorted: pods use their node's own network, where
    a port is had by one."""

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
