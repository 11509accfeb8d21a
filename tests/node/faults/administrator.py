"""Who works at the API server while it, and all else, is being killed: every call is repeated until it is done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Mapping
from concurrent.futures import Future
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from farnode.errors import NotFound
from farnode.node.kube.api import KubeApi
from farnode.node.kube.connection import Connection
from farnode.node.kube.failures import Conflict
from farnode.node.kube.watch import Gone, Listed, Put, reflect

T = TypeVar("T")
Json = dict[str, Any]
PATIENCE = 120.0
ENDED = ("Succeeded", "Failed")


@dataclass(slots=True)
class Story:
    """What the API server ever said of one pod."""

    end: str = ""
    wrong: list[str] = field(default_factory=list)

    def take(self, pod: Json) -> None:
        phase = pod["status"]["phase"]
        if self.end and phase != self.end:
            self.wrong.append(f"ended as {self.end}, and then was {phase}")
        if phase in ENDED:
            self.end = self.end or phase


class Administrator:
    """A context manager with an event loop in a thread of its own; its methods may be called by any other thread."""

    def __init__(self, kubeconfig: Path, namespace: str = "default") -> None:
        self.api = KubeApi(Connection(kubeconfig))
        self.stories: dict[str, Story] = {}
        """Of the namespace's pods, by uid."""
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._tasks: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait(self.api.__aenter__())
        self.meanwhile(self._watch())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.api.__aexit__(None, None, None)
        await asyncio.sleep(0.1)  # for the loop to close what was cut off, which nobody can wait for

    def wait(self, work: Coroutine[Any, Any, T], patience: float = PATIENCE) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(patience)

    def meanwhile(self, work: Coroutine[Any, Any, None]) -> None:
        """Until the end."""
        self._tasks.append(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _watch(self) -> None:
        async with aclosing(reflect(self.api, self._pods)) as changes:
            async for change in changes:
                match change:
                    case Listed(pods):
                        for pod in pods:
                            self._see(pod)
                    case Put(pod) | Gone(pod):
                        self._see(pod)

    def _see(self, pod: Json) -> None:
        self.stories.setdefault(pod["metadata"]["uid"], Story()).take(pod)

    # ---- pods ------------------------------------------------------------------------------------------------------

    def pods(self) -> dict[str, Json]:
        """By uid."""
        listed = self.wait(self.api.keep_trying(lambda: self.api.get(self._pods)))
        return {pod["metadata"]["uid"]: pod for pod in listed["items"]}

    def create(self, pods: Iterable[Mapping[str, Any]]) -> dict[str, Json]:
        """By uid."""
        found = self.wait(_all(self._create(dict(pod)) for pod in pods))
        return {pod["metadata"]["uid"]: pod for pod in found}

    def delete(self, pods: Iterable[Mapping[str, Any]], grace: int | None = None) -> None:
        """Returns when the API server knows of it; with `grace` 0 the objects are gone then, else their nodes remove
        them."""
        self.wait(_all(self._delete(pod["metadata"], grace) for pod in pods))

    async def _create(self, pod: Json) -> Json:
        try:
            return await self.api.keep_trying(lambda: self.api.create(self._pods, pod))
        except Conflict:  # it was done, and the answer was lost
            return await self.api.keep_trying(lambda: self.api.get(f"{self._pods}/{pod['metadata']['name']}"))

    async def _delete(self, metadata: Mapping[str, str], grace: int | None) -> None:
        path, uid = f"{self._pods}/{metadata['name']}", metadata["uid"]
        with suppress(NotFound):
            await self.api.keep_trying(lambda: self.api.delete(path, uid=uid, grace=grace))


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    return list(await asyncio.gather(*work))
