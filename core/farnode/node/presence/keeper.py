"""Presence: keeps a Node object and its Lease in the cluster."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

from farnode.client.patience import Patience, Trial
from farnode.errors import Denied, FarnodeError, NotFound, Permanent, Transient
from farnode.model.api import SiteView
from farnode.node.kube.api import KubeApi, Patch
from farnode.node.kube.failures import Conflict, Json
from farnode.node.kube.watch import Gone, Listed, Put, reflect
from farnode.node.presence.document import Document, Known
from farnode.node.presence.lease import NodeLease
from farnode.node.presence.ownership import applied
from farnode.node.presence.settings import Endpoint, NodeSettings

__all__ = ["Endpoint", "Pace", "Presence", "Taken"]

_NODES = "/api/v1/nodes"
_PAUSES = Patience(total=math.inf, first=0.1, most=15.0)
_REFUSED = 15.0
"""Seconds until something is tried again that the API server refused."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. `change`: between two patches at least. `heartbeat`: what did not change is said again then, as a
    kubelet does; that it lives is what the Lease says."""

    change: float = 10.0
    heartbeat: float = 300.0


class Taken(Permanent):
    """The name belongs to a node that is none of ours, and a machine or alive."""


class Presence:
    """`node` is the object as last seen, None while there is none."""

    def __init__(
        self,
        api: KubeApi,
        settings: NodeSettings,
        endpoint: Endpoint,
        clock: Callable[[], float],
        pace: Pace | None = None,
    ) -> None:
        self.node: Json | None = None
        self._api = api
        self._name = settings.name
        self._path = f"{_NODES}/{settings.name}"
        self._clock = clock
        self._pace = pace or Pace()
        self._document = Document(settings, endpoint)
        self._lease = NodeLease(api, settings.name, clock)
        self._newest = 0
        self._ours = ""
        self._may_taint = True
        self._said = -math.inf
        self._news = asyncio.Event()
        self._observed = asyncio.Event()

    def observe(self, site: SiteView | None, problem: str = "") -> None:
        """The newest truth of the site. None: it cannot be reached now, and `problem` says why; what it offered stays
        in force, pods stay, new ones stay away."""
        known = self._document.known
        if site is None:
            self._know(replace(known, unreachable=problem or "the site's gateway does not answer"))
        else:
            self._know(Known(site, "", known.waiting))
        self._observed.set()

    def note_certificate(self, words: str) -> None:
        """What the serving certificate waits for, "" when it is there."""
        self._know(replace(self._document.known, waiting=words))

    async def run(self) -> None:
        """Until it is cancelled. Taken when the name is not ours to have."""
        await self._claim()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            tasks.create_task(self._lease.keep())
            tasks.create_task(self._keep())

    def _see(self, node: Json) -> None:
        """The answer to a call may come later than what the watch tells of a change after it."""
        if _version(node) < self._newest:
            return
        self._newest = _version(node)
        self.node = node
        if node["metadata"]["uid"] == self._ours:
            self._lease.belong_to(node)
        self._news.set()

    def _miss(self) -> None:
        self.node = None
        self._lease.belong_to(None)
        self._news.set()

    def _know(self, known: Known) -> None:
        if known != self._document.known:
            self._document = replace(self._document, known=known)
            self._news.set()

    async def _claim(self) -> None:
        """Nothing of a Node, its Lease not either, is touched before it is clear that it is ours."""

        async def look() -> None:
            with suppress(NotFound):
                found = await self._api.get(self._path)
                await self._check(found)
                self._see(found)

        await self._insist(look)

    async def _check(self, node: Json) -> None:
        if applied(node) is None and (_is_machine(node) or await self._lease.lives()):
            raise Taken(
                f"there is a node {self._name} in the cluster that is none of farnode's, and it is a machine or alive: "
                "choose another name, or remove that node first"
            )
        self._ours = node["metadata"]["uid"]

    async def _insist(self, call: Callable[[], Awaitable[None]]) -> None:
        """Until it succeeds: what is forbidden or refused now may be put right by an administrator."""
        trial = Trial(_PAUSES)
        while True:
            try:
                return await call()
            except Taken:
                raise
            except Transient as error:
                await trial.pause(error)
            except (Conflict, NotFound):
                await self._wait(1.0)  # for the watch to tell what it is now
            except FarnodeError as error:
                _log.error("node %s: %s", self._name, error)
                await asyncio.sleep(_REFUSED)

    async def _watch(self) -> None:
        query = {"fieldSelector": f"metadata.name={self._name}"}
        async with aclosing(reflect(self._api, _NODES, query)) as changes:
            async for change in changes:
                match change:
                    case Listed([]):
                        self._miss()
                    case Listed([node]) | Put(node):
                        self._see(node)
                    case Gone(node) if _version(node) > self._newest:
                        self._newest = _version(node)
                        self._miss()

    async def _keep(self) -> None:
        await self._observed.wait()
        while True:
            delay = self._due()
            if delay > 0:
                await self._wait(delay)
            else:
                await self._insist(self._publish)

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        self._news.clear()

    def _due(self) -> float:
        """Seconds until there is something to say."""
        if self.node is None:
            return 0.0
        since = asyncio.get_running_loop().time() - self._said
        if self._document.changed_status(self.node, 0.0) or self._document.changed(self.node, self._may_taint):
            return self._pace.change - since
        return self._pace.heartbeat - since

    async def _publish(self) -> None:
        if self.node is None:
            made = await self._api.create(_NODES, self._document.created(self._clock()))
            self._ours = made["metadata"]["uid"]
            self._see(made)
            _log.info("node %s was created", self._name)
        else:
            if self.node["metadata"]["uid"] != self._ours:
                await self._check(self.node)
            try:
                await self._update(self.node)
            except NotFound:  # before the watch told so, or where a late answer came after it did
                self._miss()
                return
        self._said = asyncio.get_running_loop().time()

    async def _update(self, node: Json) -> None:
        status = self._document.changed_status(node, self._clock(), heartbeat=True)
        assert status
        node = await self._api.patch(f"{self._path}/status", status)
        patch = self._document.changed(node, self._may_taint)
        try:
            self._see(await self._api.patch(self._path, patch, Patch.MERGE) if patch else node)
        except Denied as error:
            if not self._may_taint or not patch or "spec" not in patch:
                raise
            self._may_taint = False  # as a Node's own identity; the condition NetworkUnavailable makes a taint instead
            _log.info("node %s keeps its taints: %s", self._name, error)


def _is_machine(node: Json) -> bool:
    """Whether a kubelet registered it, be it down now: a virtual node has no machine."""
    return bool(((node.get("status") or {}).get("nodeInfo") or {}).get("machineID"))


def _version(node: Json) -> int:
    """Greater for what is newer (Kubernetes, "Resource versions": they may be compared as numbers)."""
    return int(node["metadata"]["resourceVersion"])
