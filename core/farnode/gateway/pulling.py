"""Images in the machine: what a pod says while it waits for them, in the kubelet's words and at its pace.

Source: Kubernetes, "Images > ImagePullBackOff", and the events a kubelet writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from farnode.gateway import stimuli as s
from farnode.gateway.records import PodRecord, Stage
from farnode.gateway.state import NOTES, State
from farnode.wire.messages import Note

_FAILED = {
    "ErrImagePull": ("Failed", 'Failed to pull image "{image}": {message}'),
    "ErrImageNeverPull": ("ErrImageNeverPull", "{message}"),
    "InvalidImageName": ("InspectFailed", "{message}"),
}
"""The event that says what went wrong, by the reason why the container waits."""


class Pulling(State):
    """The layer on the records that knows how images are waited for."""

    def _images_noted(self, event: s.ImagesNoted) -> None:
        pod = self.pods.get(event.uid)
        if pod is not None and pod.stage is Stage.IMAGES:
            self._save(self._noted(pod, event.notes))

    def _images_failed(self, event: s.ImagesFailed) -> None:
        pod = self.pods.get(event.uid)
        if pod is None or pod.stage is not Stage.IMAGES:
            return
        reason, words = _FAILED[event.reason]
        pod = self._noted(pod, event.notes)
        pod = self._note(pod, event.at, reason, words.format(image=event.image, message=event.message), "Warning")
        pod = self._note(pod, event.at, "Failed", f"Error: {event.reason}", "Warning")
        status = self._waiting(pod, event.message, event.at, event.reason)
        refused = event.image if event.reason == "ErrImagePull" else ""
        self._save(replace(pod, status=status, failures=pod.failures + 1, retry=event.retry, refused=refused))

    def _back_off(self, pod: PodRecord, at: float) -> None:
        """The failure has been seen; until the next try the pod says that it waits for that."""
        words = f'Back-off pulling image "{pod.refused}"'
        why = f"{words}: ErrImagePull: {pod.status.get('message', '')}"
        pod = self._note(pod, at, "BackOff", words)
        pod = self._note(pod, at, "Failed", "Error: ImagePullBackOff", "Warning")
        status = self._waiting(pod, why, at, "ImagePullBackOff")
        self._save(replace(pod, status=status, refused=""))

    def _noted(self, pod: PodRecord, notes: Sequence[Note]) -> PodRecord:
        return replace(pod, notes=(*pod.notes, *notes)[-NOTES:])
