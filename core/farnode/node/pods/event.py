"""What is told of an object of the API server, as a v1.Event.

Source: Kubernetes, "Event" in the API reference, and client-go, which makes one Event of those that differ in nothing
but their time. Here the name follows from what an Event says, so that one that is there already is found.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from farnode.model.times import rfc3339

Json = dict[str, Any]

_LONGEST = 1024
"""Characters of a message, as client-go cuts them."""


@dataclass(frozen=True, slots=True)
class Event:
    """`about` is its involvedObject; `first` and `last` are seconds since the epoch; `count`: how often since then."""

    name: str
    about: Json
    host: str
    kind: str
    reason: str
    message: str
    first: float
    last: float
    count: int = 1

    @property
    def namespace(self) -> str:
        return str(self.about.get("namespace", "default"))


def event_of(about: Json, kind: str, reason: str, message: str, at: float) -> Event:
    """Of a Pod or Node."""
    metadata, message = about["metadata"], message[:_LONGEST]
    what = about.get("kind") or "Pod"
    reference = {"apiVersion": "v1", "kind": what, "name": metadata["name"], "uid": metadata["uid"]}
    if "namespace" in metadata:
        reference["namespace"] = metadata["namespace"]
    said = "\0".join((what, metadata["uid"], kind, reason, message))
    name = f"{metadata['name'][:236]}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"
    host = metadata["name"] if what == "Node" else about.get("spec", {}).get("nodeName", "")
    return Event(name, reference, host, kind, reason, message, at, at)


def document(event: Event, component: str) -> Json:
    """The v1.Event; `component` is who tells it."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event.name, "namespace": event.namespace},
        "involvedObject": event.about,
        "reason": event.reason,
        "message": event.message,
        "type": event.kind,
        "source": {"component": component, "host": event.host},
        "reportingComponent": component,
        "reportingInstance": event.host,
        "firstTimestamp": rfc3339(event.first),
        "lastTimestamp": rfc3339(event.last),
        "count": event.count,
    }
