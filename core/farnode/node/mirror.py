"""What this process knows of the pods of one virtual node: what the API server says and what the site says.

Objects are kept as JSON and read when they are needed: as Python's own objects ten thousand pods would take five times
the memory, and reading one takes some microseconds.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from farnode.model.api import PodView

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    """Why a pod is not at the site yet, for its status and Events; `until` is when it is tried again, in seconds since
    the epoch. `refused`: the site will not take it as it is, until something changes there."""

    reason: str
    message: str
    until: float
    refused: bool = False


@dataclass(slots=True)
class Entry:
    """One pod. `since`: when it was first seen. `version` and `phase` are those of the API server's object. Times are
    seconds since the epoch."""

    uid: str
    since: float
    raw_pod: bytes | None = None
    version: int = 0
    phase: str = "Pending"
    raw_view: bytes | None = None
    gone: bool = False
    """The API server said that its object is gone: it is not merely missing from a list."""
    unsure: bool = False
    """It was offered, and no answer came."""
    offered: bool = False
    """The site took it, though its view may not have come yet."""
    ran: bool = False
    """An attempt was seen to have begun."""
    held: Held | None = None
    inputs_known: bool = False
    """Whether this process has gathered what the pod refers to, and hears of changes."""
    stale_inputs: bool = False
    inputs: int = 0
    """The newest version of them that the site was heard to have."""
    ended_by: list[int | None] = field(default_factory=list)
    """The graces with which the site was told to end it, None for the pod's own."""
    purged: bool = False
    accepted: float = 0.0
    """When the site took it from this process."""
    traced: bool = False
    tolerates: bool = False
    published: float = 0.0
    unkept: Json | None = None
    """A patch of its status that the API server took and made nothing of, or refused, while its object was as now."""
    told: frozenset[tuple[float, str, str]] = frozenset()
    """The notes of its view that were made Events: when, why, what."""

    @property
    def pod(self) -> Json | None:
        """The API server's object; None when there is none, or none any more."""
        return None if self.raw_pod is None else orjson.loads(self.raw_pod)

    @property
    def view(self) -> PodView | None:
        """The site's; None when it does not know the pod."""
        return None if self.raw_view is None else orjson.loads(self.raw_view)


class Mirror:
    """All pods of a node, by uid, and by name those that the API server has."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.api_known = False
        """Whether the API server's list has come once."""
        self.site_known = False
        self.entries: dict[str, Entry] = {}
        self._names: dict[tuple[str, str], str] = {}

    def pods(self) -> Iterator[Json]:
        """The API server's objects."""
        for entry in self.entries.values():
            if (pod := entry.pod) is not None:
                yield pod

    def phases(self) -> Counter[str]:
        """How many of them are in which."""
        return Counter(entry.phase for entry in self.entries.values() if entry.raw_pod is not None)

    def find(self, namespace: str, name: str) -> Json | None:
        entry = self.entries.get(self._names.get((namespace, name), ""))
        return entry.pod if entry is not None else None

    def entry(self, uid: str, now: float) -> Entry:
        found = self.entries.get(uid)
        if found is None:
            found = self.entries[uid] = Entry(uid, now)
        return found

    def forget(self, uid: str) -> None:
        self.entries.pop(uid, None)

    # ---- the API server ------------------------------------------------------------------------------------------

    def list_pods(self, pods: list[Json], now: float) -> set[str]:
        """The whole truth; gives the uids of those that are different now. Of the first list that is all."""
        missing = self.entries.keys() - {pod["metadata"]["uid"] for pod in pods}
        for uid in missing:
            self._drop(uid)
        changed = {put for pod in pods if (put := self.put_pod(pod, now)) is not None}
        first, self.api_known = not self.api_known, True
        return set(self.entries) if first else changed | missing

    def put_pod(self, pod: Json, now: float) -> str | None:
        """Also after our own writes; None where it is as old as what is known, or older."""
        metadata = pod["metadata"]
        uid: str = metadata["uid"]
        entry, version = self.entry(uid, now), _version(pod)
        if entry.gone or entry.version > version or (entry.version == version > 0):
            return None
        metadata.pop("managedFields", None)
        entry.raw_pod, entry.version, entry.unkept = _kept(pod), version, None
        entry.phase = sys.intern(pod.get("status", {}).get("phase") or "Pending")
        self._names[metadata["namespace"], metadata["name"]] = uid
        return uid

    def remove_pod(self, pod: Json) -> str | None:
        """Its object was deleted."""
        uid: str = pod["metadata"]["uid"]
        if uid not in self.entries:
            return None
        self._drop(uid)
        self.entries[uid].gone = True
        return uid

    def _drop(self, uid: str) -> None:
        entry = self.entries[uid]
        pod = entry.pod
        entry.raw_pod, entry.version = None, 0
        if pod is not None:
            key = pod["metadata"]["namespace"], pod["metadata"]["name"]
            if self._names.get(key) == uid:
                del self._names[key]

    # ---- the site ------------------------------------------------------------------------------------------------

    def list_views(self, views: list[PodView], now: float) -> set[str]:
        """The whole truth; gives the uids concerned."""
        ours = {view["uid"]: view for view in views if view.get("node") == self.node}
        for uid, entry in self.entries.items():
            if uid not in ours:
                entry.raw_view, entry.offered = None, False
            elif not ours[uid].get("deleting"):  # it may have been set back to before it was told
                entry.ended_by, entry.purged = [], False
        for view in ours.values():
            self.put_view(view, now)
        self.site_known = True
        return set(self.entries)

    def put_view(self, view: PodView, now: float) -> str | None:
        """None for pods of other nodes, and of those who use the site without Kubernetes."""
        if view.get("node") != self.node:
            return None
        entry = self.entry(view["uid"], now)
        entry.raw_view = _kept(view)
        entry.offered = True
        entry.ran = entry.ran or view.get("attempt", 0) > 0
        return entry.uid

    def remove_view(self, uid: str) -> str | None:
        """The site removed its record."""
        entry = self.entries.get(uid)
        if entry is None:
            return None
        entry.raw_view, entry.offered = None, False
        return uid


def _kept(document: Any) -> bytes:
    """As JSON, copied: orjson gives its result in a buffer that stays several times as large."""
    return bytes(memoryview(orjson.dumps(document)))


def _version(pod: Json) -> int:
    """Resource versions grow, and can be compared as numbers (Kubernetes, "API Concepts", "Resource versions")."""
    text = str(pod["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0
