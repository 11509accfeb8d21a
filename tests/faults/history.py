"""All that a site's event stream ever said of its pods, and whether it contradicted itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from farnode import AsyncClient, Pod, Site
from tests.sites import GatewaySite

PATIENCE = 600.0
"""Seconds the watcher bears with a gateway that is away: longer than any test."""


@dataclass(slots=True)
class Story:
    """One pod's, in the order of its events."""

    attempt: int = 0
    end: tuple[str, str, int] | None = None
    """Phase, reason and attempt when it ended."""
    wrong: list[str] = field(default_factory=list)

    def take(self, pod: Pod) -> None:
        now = (pod.phase, pod.reason, pod.attempt)
        if pod.attempt < self.attempt:
            self.wrong.append(f"attempt {self.attempt} became {pod.attempt}")
        if self.end is not None and (not pod.ended or now != self.end):
            self.wrong.append(f"ended as {self.end}, and then was {now}, ended: {pod.ended}")
        if pod.ended and pod.phase not in ("Succeeded", "Failed"):
            self.wrong.append(f"ended in phase {pod.phase}")
        self.attempt = max(self.attempt, pod.attempt)
        if pod.ended and self.end is None:
            self.end = now


class History:
    """Watches from a thread of its own while the block lasts; its client resumes whatever is killed."""

    def __init__(self, site: GatewaySite, owner: str = "alice") -> None:
        self._site = Site(site.name, site.url, site.token(owner))
        self._lock = threading.Lock()
        self._stories: dict[str, Story] = {}
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run)
        self._begun = threading.Event()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner, suppress(asyncio.CancelledError):
            runner.run(self._watch())

    async def _watch(self) -> None:
        self._task = asyncio.current_task()
        self._begun.set()
        async with AsyncClient(self._site, patience=PATIENCE) as client:
            async for event in client.watch():
                if event["type"] == "pod":
                    with self._lock:
                        self._stories.setdefault(event["uid"], Story()).take(Pod(event["pod"]))

    @property
    def stories(self) -> Mapping[str, Story]:
        with self._lock:
            return dict(self._stories)

    def ended(self, uids: Iterable[str]) -> bool:
        stories = self.stories
        return all(uid in stories and stories[uid].end is not None for uid in uids)

    def check(self) -> None:
        wrong = {uid: story.wrong for uid, story in self.stories.items() if story.wrong}
        assert not wrong, f"the event stream contradicted itself: {wrong}"

    def __enter__(self) -> History:
        self._thread.start()
        self._begun.wait()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._task is not None
        with suppress(RuntimeError):  # it has failed already, and the loop is closed
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(30)
