"""A pod at a site, as it was when it was asked for: a value, never updated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farnode.model.api import AllocationView, AttemptView, PodView

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
ContainerStatus = Mapping[str, Any]
"""A v1.ContainerStatus."""


@dataclass(frozen=True, slots=True)
class Pod:
    """What the gateway says of one pod; `view` is the whole of it, as in its API."""

    view: PodView

    def __hash__(self) -> int:
        return hash(self.uid)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def uid(self) -> str:
        return self.view["uid"]

    @property
    def name(self) -> str:
        return self.view["name"]

    @property
    def namespace(self) -> str:
        return self.view.get("namespace", "default")

    @property
    def labels(self) -> Mapping[str, str]:
        return self.view.get("labels") or {}

    @property
    def created_at(self) -> str:
        """RFC 3339, by the gateway's clock."""
        return self.view.get("createdAt", "")

    @property
    def status(self) -> Mapping[str, Any]:
        """The v1.PodStatus."""
        return self.view.get("status") or {}

    @property
    def phase(self) -> str:
        """Pending, Running, Succeeded or Failed."""
        return str(self.status.get("phase") or "Pending")

    @property
    def reason(self) -> str:
        return str(self.status.get("reason") or "")

    @property
    def message(self) -> str:
        return str(self.status.get("message") or "")

    @property
    def ended(self) -> bool:
        """No process of it lives any more, nor will: its phase is final."""
        return bool(self.view.get("ended"))

    @property
    def succeeded(self) -> bool:
        return self.ended and self.phase == "Succeeded"

    @property
    def deleting(self) -> bool:
        return bool(self.view.get("deleting"))

    @property
    def attempt(self) -> int:
        """0 until it was first bound to a runner."""
        return self.view.get("attempt") or 0

    @property
    def containers(self) -> Sequence[str]:
        return tuple(self.view.get("containers") or ())

    @property
    def init_containers(self) -> Sequence[str]:
        return tuple(self.view.get("initContainers") or ())

    @property
    def default_container(self) -> str:
        """The one that is meant where none is named: the annotated one, else the first; needs the manifest."""
        annotations = (self.manifest.get("metadata") or {}).get("annotations") or {}
        return str(annotations.get(_DEFAULT_CONTAINER) or self.containers[0])

    def container_manifest(self, name: str) -> Mapping[str, Any] | None:
        """The v1.Container, init containers too; None where there is none of that name."""
        spec = self.manifest.get("spec") or {}
        containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
        return next((container for container in containers if container.get("name") == name), None)

    @property
    def container_statuses(self) -> Mapping[str, ContainerStatus]:
        """By name, init containers first; containers nothing is known of yet are missing."""
        return {status["name"]: status for status in self._statuses()}

    @property
    def restarts(self) -> int:
        return sum(int(status.get("restartCount") or 0) for status in self._statuses())

    @property
    def gpus(self) -> Sequence[str]:
        """The devices it got, as the batch system names them."""
        return tuple(self.view.get("gpus") or ())

    @property
    def allocation(self) -> AllocationView:
        """Where it is, or what it waits for; empty before anything was asked of the batch system."""
        return self.view.get("allocation") or {}

    @property
    def past_attempts(self) -> Sequence[AttemptView]:
        """Those that were lost with their allocation, the newest last."""
        return tuple(self.view.get("attempts") or ())

    @property
    def notes(self) -> Sequence[Mapping[str, Any]]:
        """Its story: `at` (seconds since the epoch), `kind`, `reason`, `message`."""
        return tuple(self.view.get("notes") or ())

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The v1.Pod as submitted; empty in lists and events."""
        return self.view.get("pod") or {}

    def exit_code(self, container: str | None = None) -> int | None:
        """Of a container: that of its last end, None before. Of the pod: the first one that is not 0, in the order of
        the manifest; None before its end and where no container tells (it was never started, or its node was lost)."""
        if container is not None:
            return _exit_code(self.container_statuses.get(container, {}))
        if not self.ended:
            return None
        codes = [_exit_code(status) for status in self._statuses()]
        failed = next((code for code in codes if code), None)
        return 0 if self.succeeded else failed

    def _statuses(self) -> Iterator[ContainerStatus]:
        yield from self.status.get("initContainerStatuses") or ()
        yield from self.status.get("containerStatuses") or ()


def _exit_code(status: ContainerStatus) -> int | None:
    for state in (status.get("state"), status.get("lastState")):
        if state and state.get("terminated"):
            return int(state["terminated"].get("exitCode") or 0)
    return None
