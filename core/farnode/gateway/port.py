"""What the API's routers need of the gateway; `service.Gateway` gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from farnode.model.api import ClaimView, Deletion, EventView, PodView, SiteView, StatsView, Verdict
from farnode.wire.link import Stream
from farnode.wire.messages import AttachOptions, ExecOptions, LogOptions


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated principal of a request. `admin` may see every owner's pods and drain or stop the site.
    `cluster`: it is a Kubernetes cluster's node, each of whose namespaces is an owner: `<cluster>/<namespace>`."""

    owner: str
    admin: bool = False
    cluster: bool = False

    def owns(self, namespace: str) -> str:
        """The owner of what this caller has in a namespace."""
        return f"{self.owner}/{namespace}" if self.cluster else self.owner

    def sees(self, owner: str) -> bool:
        """Whether what belongs to `owner` is this caller's business. A cluster's namespaces contain no slash."""
        if self.admin or not self.cluster:
            return self.admin or owner == self.owner
        cluster, _, namespace = owner.rpartition("/")
        return cluster == self.owner and bool(namespace)


class EventsGone(Exception):
    """The asked sequence number is older than what is kept; list again and watch from the list's `seq`."""


class Service(Protocol):
    """Every call is scoped to what the caller sees; NotFound also for what belongs to another owner."""

    async def submit(self, caller: Caller, bundles: Sequence[Any]) -> list[Verdict]: ...

    async def delete(self, caller: Caller, deletions: Sequence[Deletion]) -> list[Verdict]: ...

    async def update_inputs(self, caller: Caller, uid: str, inputs: dict[str, Any]) -> int: ...

    def pods(self, caller: Caller) -> tuple[list[PodView], int]: ...

    def pod(self, caller: Caller, uid: str) -> PodView: ...

    def events(self, caller: Caller, after: int | None) -> AsyncIterator[list[EventView]]:
        """Endless, some at a time; a heartbeat at least every 15 s. Raises EventsGone at the first step. None: from
        now on."""
        ...

    def logs(self, caller: Caller, uid: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Raises NotFound or Invalid at the first step; reads no further than its consumer asks."""
        ...

    async def exec(self, caller: Caller, uid: str, container: str, options: ExecOptions) -> Stream:
        """An open stream to the runner; the caller of this method closes it."""
        ...

    async def attach(self, caller: Caller, uid: str, container: str, options: AttachOptions) -> Stream: ...

    async def port(self, caller: Caller, uid: str, port: int) -> Stream: ...

    def claims(self, caller: Caller) -> list[ClaimView]: ...

    async def delete_claim(self, caller: Caller, namespace: str, name: str, owner: str | None) -> ClaimView:
        """`owner` None: the caller's in that namespace. Raises Permanent while a pod uses it."""
        ...

    async def stats(self, caller: Caller) -> StatsView: ...

    def site(self, caller: Caller) -> SiteView: ...

    async def drain(self, caller: Caller, drain: bool) -> SiteView: ...

    async def stop(self, caller: Caller) -> int: ...

    def metrics(self) -> str:
        """Prometheus' text format."""
        ...

    def ready(self) -> str | None:
        """None when ready, else what is missing, in words."""
        ...
