"""Plays many scenes at one site at the same time; each test then waits for its own.

A scene is a function of a `Stage` that asserts. All that were selected begin together, so that a suite takes about as
long as its longest scene, and pods of different scenes meet each other as they do in life.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from farnode import Client, Pod
from tests.scenarios.stacks import Stack
from tests.sites import GatewaySite, wait_until

Json = dict[str, Any]
Scene = Callable[["Stage"], None]
AT_ONCE = 96


class Stage:
    """A site and one way to run pods there."""

    def __init__(self, site: GatewaySite, stack: Stack) -> None:
        self.site = site
        self.stack = stack
        self.capabilities = stack.capabilities(site)
        self.client = site.client("alice")
        self.stranger: Client = site.client("bob")
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._playing: dict[Any, Future[None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        self.client.close()
        self.stranger.close()

    def begin(self, key: Any, scene: Scene) -> None:
        self._playing[key] = self._pool.submit(scene, self)

    def play(self, key: Any) -> None:
        """Waits for a scene that was begun; its failure is the caller's."""
        self._playing[key].result(self.site.patience)

    # ---- what scenes do --------------------------------------------------------------------------------------------

    def submit(self, documents: Iterable[Mapping[str, Any]], *, fit: bool = True) -> Pod:
        """One pod with what stands beside it; `fit`: for the stage's stack, as `fitted` makes it."""
        fitted = self.fitted(documents) if fit else self.site.fitted(documents)
        text = "\n---\n".join(map(json.dumps, fitted))
        (pod,) = self.client.submit(text + "\n")
        return pod

    def fitted(self, documents: Iterable[Mapping[str, Any]]) -> list[Json]:
        """With the names images have at the site, and the annotations that ask for what the stack is."""
        return self.site.fitted(documents, self.stack.runtime, dedicated=self.stack.dedicated)

    def now(self, pod: Pod | str) -> Pod:
        return self.client.pod(pod)

    def until(self, pod: Pod, condition: Callable[[Pod], object], what: str) -> Pod:
        """The pod when `condition` first holds of it."""
        seen = [pod]

        def holds() -> object:
            seen[0] = self.now(pod)
            return condition(seen[0])

        wait_until(holds, f"{pod}: {what}", self.site.patience)
        return seen[0]

    def running(self, pod: Pod) -> Pod:
        return self.until(pod, lambda now: now.phase == "Running", "runs")


def shell(name: str, script: str, **spec: Any) -> Json:
    """A pod of one container that runs a shell script; `container=` is laid over the container, the rest is spec."""
    container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", script], **spec.pop("container", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": [container], **spec},
    }


def unique() -> str:
    """A number of seconds nobody else sleeps."""
    return str(random.randrange(10**6, 10**7))
