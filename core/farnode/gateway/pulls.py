"""Gets a pod its images, and tells the machine what became of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from farnode.gateway import stimuli as s
from farnode.gateway.engine import Engine
from farnode.gateway.images import ImageError, ImageStore, credentials
from farnode.gateway.images.wants import Wanted
from farnode.gateway.records import PodRecord
from farnode.model.bundle import Bundle
from farnode.model.image import Image
from farnode.wire.messages import Note

log = logging.getLogger(__name__)

_FIRST, _LONGEST = 10.0, 300.0
"""Seconds between tries, doubling, as the kubelet's."""


class Pulls:
    def __init__(self, engine: Engine, images: ImageStore) -> None:
        self._engine = engine
        self._images = images

    async def __call__(self, uid: str) -> None:
        """Ends with ImagesReady or ImagesFailed for the pod."""
        machine = self._engine.machine
        if uid in machine.pods:
            await _Pull(self._engine, self._images, machine.pods[uid], machine.bundles[uid]).run()


class _Pull:
    """One try for all images of a pod."""

    def __init__(self, engine: Engine, images: ImageStore, pod: PodRecord, bundle: Bundle) -> None:
        self._engine = engine
        self._images = images
        self._pod = pod
        self._bundle = bundle
        self._notes: list[Note] = []

    async def run(self) -> None:
        ready: dict[str, Image] = {}
        self._warn(credentials.absent(self._bundle))
        if self._pod.runtime == "process":  # runs containers without their images
            ready = {container.image: Image(container.image) for container in self._bundle.pod.all_containers}
        for wanted in self._images.wants(self._bundle, self._pod.runtime):
            image = await self._prepared(wanted)
            if image is None:
                return
            ready[wanted.reference] = image
        at = self._engine.clock()
        await self._engine.tell(s.ImagesReady(at, self._pod.uid, tuple(ready.values()), tuple(self._notes)))

    async def _prepared(self, wanted: Wanted) -> Image | None:
        try:
            logins = credentials.of_pod(self._bundle)
            return await self._images.prepare(wanted, logins, self._tell)
        except ImageError as problem:
            await self._failed(wanted.reference, problem)
        except Exception as error:
            log.exception("image %s", wanted.reference)
            await self._failed(wanted.reference, ImageError("ErrImagePull", str(error)))
        return None

    def _warn(self, absent: Sequence[str]) -> None:
        words = f"Unable to retrieve some image pull secrets ({', '.join(absent)}); "
        words += "attempting to pull the image may not succeed."
        if absent and all(note["message"] != words for note in self._pod.notes):
            self._add("FailedToRetrieveImagePullSecret", words, "Warning")

    async def _tell(self, reason: str, message: str) -> None:
        """What may take long is told at once; the rest with how it ended."""
        self._add(reason, message)
        if reason == "Pulling":
            notes, self._notes = tuple(self._notes), []
            await self._engine.tell(s.ImagesNoted(self._pod.uid, notes))

    def _add(self, reason: str, message: str, kind: str = "Normal") -> None:
        self._notes.append(Note(at=self._engine.clock(), kind=kind, reason=reason, message=message))

    async def _failed(self, image: str, problem: ImageError) -> None:
        at = self._engine.clock()
        delay = max(problem.after, min(_LONGEST, _FIRST * 2.0 ** min(self._pod.failures, 10)))
        notes = tuple(self._notes)
        failed = s.ImagesFailed(at, self._pod.uid, image, problem.reason, str(problem), at + delay, notes)
        await self._engine.tell(failed)
