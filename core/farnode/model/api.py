"""The JSON of the gateway's API (v1), as its clients see it. Names are camelCase, as in Kubernetes' own objects.

    POST   /v1/pods                        {"bundles": [Bundle]}      -> {"verdicts": [Verdict]}   durable before 200
    POST   /v1/pods/delete                 {"pods": [Deletion]}       -> {"verdicts": [Verdict]}
    PUT    /v1/pods/{uid}/inputs           Inputs                     -> {"version": n}
    GET    /v1/pods                                                   -> {"pods": [PodView], "seq": n}
    GET    /v1/pods/{uid}                                             -> PodView, with `pod` (the manifest)
    GET    /v1/events?after=SEQ            lines of JSON, one EventView each; 410 when SEQ is too old: list again
    GET    /v1/pods/{uid}/logs/{container} ?follow&previous&timestamps&tailLines&sinceSeconds&sinceTime&limitBytes
    WS     /v1/pods/{uid}/exec/{container} ?command=…&command=…&stdin&tty&rows&cols   (v5.channel.k8s.io)
    GET    /v1/site                                                   -> SiteView
    POST   /v1/site/drain                  {"drain": bool}            -> SiteView          role admin
    POST   /v1/site/stop                                              -> {"pods": n}       role admin: ends everything
    GET    /metrics /healthz /readyz

Errors are {"error": {"code", "field", "message"}} with 400 invalid, 401/403 denied, 404 not found, 409 conflict,
410 gone, 413 too large, 503 transient (with Retry-After).
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class Verdict(TypedDict, total=False):
    """Of one pod of a batch. `field` and `message` only with "invalid"; "unknown" only of deletions."""

    uid: str
    verdict: Literal["accepted", "exists", "invalid", "unknown"]
    field: str
    message: str


class Deletion(TypedDict, total=False):
    """`graceSeconds`: 0 ends it at once, absent: the pod's own. `purge` also removes an ended pod's record and logs."""

    uid: str
    graceSeconds: int
    purge: bool


class AllocationView(TypedDict, total=False):
    """Where a pod is, or what it waits for. `words` are the batch system's reason, for a person."""

    nonce: str
    job: str
    phase: str
    offer: str
    nodes: list[str]
    reason: str
    words: str
    expectedStart: float


class PodView(TypedDict, total=False):
    """A pod at this site. `status` is a v1.PodStatus; `notes` tell its story (wire.messages.Note)."""

    uid: str
    namespace: str
    name: str
    owner: str
    labels: dict[str, str]
    createdAt: str
    attempt: int
    deleting: bool
    ended: bool
    initContainers: list[str]
    containers: list[str]
    status: dict[str, Any]
    gpus: list[str]
    allocation: AllocationView
    notes: list[dict[str, Any]]
    pod: dict[str, Any]


class EventView(TypedDict, total=False):
    """`pod`: the pod as it is now, whole; a reader may skip to the latest of each uid. `gone`: its record was removed.
    `heartbeat` carries only the sequence number."""

    seq: int
    type: Literal["pod", "gone", "heartbeat"]
    uid: str
    pod: PodView


class SiteView(TypedDict, total=False):
    """`offers` are model.offer.Offer, `allocations` AllocationView with `pods` counted."""

    name: str
    version: str
    provider: str
    draining: bool
    healthy: bool
    problem: str
    runtimes: list[str]
    offers: list[dict[str, Any]]
    allocations: list[dict[str, Any]]
    pods: dict[str, int]
