"""What pods use, as their gateways say: asked at most once a second, however many ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from farnode.client.aio import AsyncClient
from farnode.errors import FarnodeError
from farnode.model.api import ContainerUsage, PodUsage
from farnode.node.kubelet.pods import Pods

FRESH = 1.0
"""Seconds an answer is given again."""
_Key = tuple[str, str, float]
"""Uid, container, and when it started."""


@dataclass(frozen=True, slots=True)
class ContainerSample:
    """`cores` is how many it used since the sample before this one, None in its first."""

    usage: ContainerUsage
    cores: float | None


@dataclass(frozen=True, slots=True)
class PodSample:
    usage: PodUsage
    containers: Sequence[ContainerSample]

    @property
    def cpu(self) -> float:
        """Core seconds."""
        return sum(one.usage.get("cpu", 0.0) for one in self.containers)

    @property
    def memory(self) -> int:
        return sum(one.usage.get("memory", 0) for one in self.containers)

    @property
    def cores(self) -> float | None:
        known = [one.cores for one in self.containers if one.cores is not None]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class NodeSample:
    """At the time `at` of this machine's clock. `cpu` counts what pods that are gone used, too, since `since`."""

    at: float
    since: float
    pods: Sequence[PodSample]
    cpu: float

    @property
    def memory(self) -> int:
        return sum(pod.memory for pod in self.pods)

    @property
    def cores(self) -> float:
        return sum(pod.cores or 0.0 for pod in self.pods)


@dataclass(frozen=True, slots=True)
class _Last:
    """A container's last sample: its time, core seconds, and the cores it used before."""

    at: float
    cpu: float
    cores: float | None


class Account:
    """What one virtual node remembers between two samples."""

    def __init__(self, at: float) -> None:
        self._since = at
        self._cpu = 0.0
        self._last: dict[_Key, _Last] = {}

    def sample(self, at: float, usages: Iterable[PodUsage], mine: Collection[str]) -> NodeSample:
        """`mine` are the pods of this node; one whose runner did not answer is remembered, or it would count twice."""
        self._last = {key: last for key, last in self._last.items() if key[0] in mine}
        pods = [
            PodSample(usage, [self._container(usage, one) for one in usage["containers"]])
            for usage in usages
            if usage["uid"] in mine
        ]
        return NodeSample(at, self._since, pods, self._cpu)

    def _container(self, pod: PodUsage, usage: ContainerUsage) -> ContainerSample:
        key = (pod["uid"], usage["name"], usage.get("startedAt", 0.0))
        at, cpu = pod["at"], usage.get("cpu", 0.0)
        last = self._last.get(key) or _Last(at, 0.0, None)
        used = max(0.0, cpu - last.cpu)
        cores = used / (at - last.at) if at > last.at else last.cores
        self._cpu += used
        self._last[key] = _Last(at, cpu, cores)
        return ContainerSample(usage, cores)


class Usage:
    """Samples by node."""

    def __init__(self, pods: Pods, nodes: Sequence[str], clock: Callable[[], float] = time.time) -> None:
        self._pods = pods
        self._clock = clock
        self._nodes = {name: Account(clock()) for name in nodes}
        self._samples: dict[str, NodeSample] = {}
        self._turns = {name: asyncio.Lock() for name in nodes}

    async def of(self, node: str) -> NodeSample:
        """FarnodeError when its gateway cannot be asked."""
        async with self._turns[node]:
            known = self._samples.get(node)
            if known is None or not 0 <= self._clock() - known.at < FRESH:
                known = self._samples[node] = await self._sampled(node)
            return known

    async def _sampled(self, node: str) -> NodeSample:
        view = await _client(self._pods.clients(), node).stats()
        mine = {pod["metadata"]["uid"] for pod in self._pods.all() if pod["spec"].get("nodeName") == node}
        return self._nodes[node].sample(self._clock(), view["pods"], mine)


def _client(clients: Mapping[str, AsyncClient], node: str) -> AsyncClient:
    if node not in clients:
        raise FarnodeError(f"node {node} has no site")
    return clients[node]
