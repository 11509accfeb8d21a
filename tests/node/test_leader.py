"""Who of several acts, by a Lease of the real API server and clocks that stand still until they are moved."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from farnode.errors import Permanent, Transient
from farnode.node.kube.api import KubeApi
from farnode.node.kube.connection import Connection
from farnode.node.leader import DEADLINE, DURATION, Leader
from tests.testbed.kubernetes import ControlPlane

pytestmark = pytest.mark.system

NAMESPACE = "kube-system"


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """Processes that compete for one Lease."""

    def __init__(self, api: KubeApi) -> None:
        self.api, self.time = api, Time()
        self.lease = f"leader-{uuid.uuid4().hex[:8]}"
        self.path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{self.lease}"

    def process(self) -> Leader:
        return Leader(self.api, NAMESPACE, self.lease, elapsed=self.time)

    async def holder(self) -> str:
        found: str = (await self.api.get(self.path))["spec"]["holderIdentity"]
        return found


def on(plane: ControlPlane, play: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        async with _scene(plane) as scene:
            await play(scene)

    asyncio.run(run())


@asynccontextmanager
async def _scene(plane: ControlPlane) -> AsyncIterator[Scene]:
    async with KubeApi(Connection(plane.kubeconfig)) as api:
        yield Scene(api)


async def _waits(leader: Leader) -> bool:
    try:
        async with asyncio.timeout(0.5):
            await leader.acquire()
    except TimeoutError:
        return True
    return False


def test_the_lease_is_taken_over_when_it_was_not_renewed_for_its_duration(plane: ControlPlane) -> None:
    async def play(scene: Scene) -> None:
        first, second = scene.process(), scene.process()
        await first.acquire()
        assert await _waits(second)
        scene.time.now += DURATION
        assert await _waits(second)
        scene.time.now += 1
        await second.acquire()
        assert await scene.holder() == second.identity

    on(plane, play)


def test_who_lost_the_lease_stops(plane: ControlPlane) -> None:
    async def play(scene: Scene) -> None:
        first, second = scene.process(), scene.process()
        await first.acquire()
        assert await _waits(second)
        scene.time.now += DURATION + 1
        await second.acquire()
        with pytest.raises(Permanent, match="another process leads"):
            await first.hold()
        await first.release()
        assert await scene.holder() == second.identity, "only what is one's own is given back"

    on(plane, play)


def test_who_could_not_renew_in_time_writes_no_more(plane: ControlPlane) -> None:
    async def play(scene: Scene) -> None:
        leader = scene.process()
        await leader.acquire()
        guarded = scene.api.guarded(leader.check)
        scene.time.now += DEADLINE
        lease = await guarded.get(scene.path)
        await guarded.replace(scene.path, lease)
        scene.time.now += 1
        lease = await guarded.get(scene.path)
        with pytest.raises(Transient, match="run out"):
            await guarded.replace(scene.path, lease)
        assert await scene.api.replace(scene.path, lease), "others of the process are not concerned"

    on(plane, play)


def test_the_lease_is_given_back_also_when_the_last_renewal_was_cut_short(plane: ControlPlane) -> None:
    """Its answer, with the newest resourceVersion, was never read."""

    async def play(scene: Scene) -> None:
        first, second = scene.process(), scene.process()
        await first.acquire()
        lease = await scene.api.get(scene.path)
        await scene.api.replace(scene.path, lease | {"spec": lease["spec"] | {"leaseTransitions": 7}})
        await first.release()
        assert await scene.holder() == ""
        assert not await _waits(second)

    on(plane, play)
