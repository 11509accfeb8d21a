"""A minimal client of an API server: what it costs to move a pod through one, with nothing around it.

One pool of connections, raw JSON, no retries: what fails ends the benchmark. It plays the users who create pods and
watch them, and the bare node: two patches of the status of each pod, and nothing else.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

Json = dict[str, Any]
STRATEGIC = "application/strategic-merge-patch+json"
AT_ONCE = 16
"""Requests under way, at most, beside watches."""
PATIENCE = 120.0
_CONTAINER = {"name": "main", "image": "none", "resources": {"requests": {"cpu": "10m", "memory": "1Mi"}}}
_LONG_AGO = "2026-01-01T00:00:00Z"


class Kube:
    """The administrator, known by `admin.crt` and `admin.key` in the control plane's directory."""

    def __init__(self, url: str, directory: Path) -> None:
        self._url = url
        self._tls = ssl.create_default_context(cafile=str(directory / "ca.crt"))
        self._tls.load_cert_chain(directory / "admin.crt", directory / "admin.key")
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=self._tls, limit=0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Json:
        data = None if body is None else orjson.dumps(body)
        async with (
            self._turn,
            self._session.request(method, self._url + path, data=data, headers={"Content-Type": kind}) as response,
        ):
            content = await response.read()
        assert response.status < 300, f"{method} {path}: {response.status} {content[:1000]!r}"
        found: Json = orjson.loads(content)
        return found

    async def namespace(self, name: str) -> None:
        """A new one; pods are refused before it has its service account."""
        await self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        url, begun = f"{self._url}/api/v1/namespaces/{name}/serviceaccounts/default", time.monotonic()
        while (await self._session.get(url)).status != 200:
            assert time.monotonic() < begun + PATIENCE, f"the namespace {name} gets no service account"
            await asyncio.sleep(0.05)

    async def create(self, path: str, objects: Iterable[Json]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for one in objects:
                tasks.create_task(self.call("POST", path, one))

    async def watch(self, path: str, version: str) -> AsyncGenerator[Json, None]:
        """What happens from a resource version on, without end: the API server leaves those who read too slowly, and
        others after a while."""
        while True:
            query = {"watch": "1", "resourceVersion": version}
            async with self._session.get(self._url + path, params=query) as response:
                assert response.status == 200, await response.text()
                rest = b""
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for event in map(orjson.loads, lines):
                        assert event["type"] != "ERROR", event
                        yield event
                        version = event["object"]["metadata"]["resourceVersion"]


class Sight:
    """What a watch of one namespace shows of its pods. `at`: when it first showed a pod (by name) in a phase, seconds
    since the epoch. Beside Kubernetes' own phases there are "new", of one that was just created, "Waiting", of one of
    which its node has told something, and "gone"."""

    def __init__(self) -> None:
        self.at: dict[tuple[str, str], float] = {}
        self._waits: list[tuple[str, set[str], asyncio.Event]] = []

    async def shows(self, names: Collection[str], phase: str) -> None:
        """Returns when all of them have been shown in it; it fails when none was for a while."""
        missing = {name for name in names if (name, phase) not in self.at}
        wait = phase, missing, asyncio.Event()
        self._waits.append(wait)
        while left := len(missing):
            with suppress(TimeoutError):
                await asyncio.wait_for(wait[2].wait(), PATIENCE)
            assert len(missing) < left, f"{left} pods are not {phase}, such as {min(missing)}"
        self._waits.remove(wait)

    def take(self, event: Json) -> bool:
        """Whether the pod is new."""
        metadata, phase = event["object"]["metadata"], _phase(event)
        name = metadata["name"]
        assert phase != "Failed" or "deletionTimestamp" in metadata, event["object"]["status"]
        if (name, phase) not in self.at:
            self.at[name, phase] = time.time()
            for wanted, missing, done in self._waits:
                if wanted == phase:
                    missing.discard(name)
                    if not missing:
                        done.set()
        return phase == "new"


def _phase(event: Json) -> str:
    if event["type"] != "MODIFIED":
        return "gone" if event["type"] == "DELETED" else "new"
    status = event["object"]["status"]
    return "Waiting" if status["phase"] == "Pending" and "containerStatuses" in status else str(status["phase"])


@asynccontextmanager
async def sight(kube: Kube, namespace: str, react: Callable[[Json], Any] | None = None) -> AsyncIterator[Sight]:
    """From now on. `react` is started as a task for each new pod."""
    path, seen = pods(namespace), Sight()
    listed = await kube.call("GET", f"{path}?limit=1")

    async def look(tasks: asyncio.TaskGroup) -> None:
        async with aclosing(kube.watch(path, listed["metadata"]["resourceVersion"])) as events:
            async for event in events:
                if seen.take(event) and react is not None:
                    tasks.create_task(react(event["object"]))

    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look(tasks))
        yield seen
        looking.cancel()


# ---- pods ------------------------------------------------------------------------------------------------------------


def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def names(objects: Iterable[Json]) -> list[str]:
    return [one["metadata"]["name"] for one in objects]


def pod(name: str, command: Sequence[str], node: str | None, container: Json | None = None, **spec: Any) -> Json:
    """Bound to `node` from the beginning, or to be scheduled. Thousands have room beside one another."""
    whole = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "tolerations": [{"operator": "Exists"}],
        "containers": [{**_CONTAINER, "command": list(command), **(container or {})}],
        **spec,
        **({"nodeName": node} if node else {}),
    }
    metadata = {"name": name, "annotations": {"farnode.io/runtime": "process"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole}


async def flood(
    kube: Kube, namespace: str, objects: Sequence[Json], react: Callable[[Json], Any] | None = None
) -> float:
    """Seconds from the first pod's creation until a watch has shown the success of all."""
    async with sight(kube, namespace, react) as seen, asyncio.TaskGroup() as tasks:
        begun = time.perf_counter()
        tasks.create_task(kube.create(pods(namespace), objects))
        await seen.shows(names(objects), "Succeeded")
        return time.perf_counter() - begun


async def remove(kube: Kube, namespace: str, objects: Sequence[Json]) -> None:
    """Returns when a watch has shown that all are gone."""
    async with sight(kube, namespace) as seen:
        await kube.call("DELETE", pods(namespace))
        await seen.shows(names(objects), "gone")


async def play_node(kube: Kube, pod: Json) -> None:
    """The bare node: what a kubelet says of a pod that runs and succeeds."""
    metadata = pod["metadata"]
    path = f"{pods(metadata['namespace'])}/{metadata['name']}/status"
    running = {"running": {"startedAt": _LONG_AGO}}
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": _LONG_AGO, "finishedAt": _LONG_AGO}}
    for phase, state in (("Running", running), ("Succeeded", ended)):
        patch = {"metadata": {"uid": metadata["uid"]}, "status": _status(phase, state)}
        await kube.call("PATCH", path, patch, STRATEGIC)


def _status(phase: str, state: Json) -> Json:
    is_running = phase == "Running"
    conditions = {"Initialized": True, "PodReadyToStartContainers": is_running, "Ready": is_running}
    container = {
        "name": "main",
        "image": "none",
        "imageID": "",
        "containerID": "farnode://pod/1/main/0",
        "ready": is_running,
        "started": is_running,
        "restartCount": 0,
        "state": state,
    }
    return {
        "phase": phase,
        "hostIP": "127.0.0.1",
        "podIP": "127.0.0.1",
        "startTime": _LONG_AGO,
        "conditions": [
            {"type": kind, "status": str(value), "lastTransitionTime": _LONG_AGO} for kind, value in conditions.items()
        ],
        "containerStatuses": [container],
    }
