"""Records as the API shows them: pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Literal

from farnode.gateway.records import AllocationRecord, ClaimRecord, PodRecord, Stage
from farnode.model.api import AllocationView, AttemptView, ClaimView, GangView, PodView
from farnode.model.bundle import Bundle
from farnode.model.demand import Demand
from farnode.model.offer import Offer
from farnode.model.times import rfc3339


def allocation_view(record: AllocationRecord) -> AllocationView:
    view = AllocationView(
        nonce=record.nonce,
        kind=_kind(record),
        phase=record.phase or record.life.value,
        offer=record.offer,
        nodes=list(record.nodes),
    )
    if record.job is not None:
        view["job"] = record.job
    if record.reason:
        view["reason"] = record.reason
    if record.words:
        view["words"] = record.words
    if record.expected_start is not None:
        view["expectedStart"] = record.expected_start
    if record.started is not None:
        view["startedAt"] = record.started
    if record.request.walltime is not None:
        view["walltime"] = record.request.walltime
    if record.request.partition is not None:
        view["partition"] = record.request.partition
    return view


def _kind(record: AllocationRecord) -> Literal["pilot", "dedicated", "gang"]:
    if record.pod is None:
        return "pilot"
    return "gang" if record.request.together else "dedicated"


def lost_attempt(pod: PodRecord, allocation: AllocationRecord, reason: str, words: str, at: float) -> AttemptView:
    """What is remembered of an attempt that another one follows."""
    view = AttemptView(
        attempt=pod.attempt, nodes=list(allocation.nodes), endedAt=rfc3339(at), reason=reason, message=words
    )
    if allocation.job is not None:
        view["job"] = allocation.job
    if pod.status.get("startTime"):
        view["startedAt"] = pod.status["startTime"]
    return view


def pod_view(record: PodRecord, bundle: Bundle, allocation: AllocationRecord | None) -> PodView:
    pod = bundle.pod
    view = PodView(
        uid=record.uid,
        namespace=pod.namespace,
        name=pod.name,
        owner=record.owner,
        labels=dict(pod.labels),
        createdAt=rfc3339(record.created),
        attempt=record.attempt,
        deleting=record.deleting is not None,
        ended=record.stage is Stage.ENDED,
        initContainers=[container.name for container in pod.init_containers],
        containers=[container.name for container in pod.containers],
        node=pod.node_name,
        status=dict(record.status),
        gpus=list(record.gpus),
        notes=[dict(note) for note in record.notes],
    )
    if record.inputs:
        view["inputs"] = record.inputs
    if record.past:
        view["attempts"] = [AttemptView(**past) for past in record.past]  # type: ignore[typeddict-item]
    if allocation is not None:
        view["allocation"] = allocation_view(allocation)
    return view


def pod_details(view: PodView, record: PodRecord, bundle: Bundle, demand: Demand) -> PodView:
    """With what only who asks for one pod is told."""
    document: Mapping[str, Any] = bundle.document
    view["pod"] = document["pod"]
    if demand.gang is not None:
        view["gang"] = GangView(name=demand.gang.name, size=demand.gang.size, failure=demand.gang.failure)
    if record.queued is not None and record.stage in (Stage.QUEUED, Stage.PLACED):
        view["queuedAt"] = record.queued
    return view


def claim_view(record: ClaimRecord, users: Iterable[PodRecord]) -> ClaimView:
    view = ClaimView(
        namespace=record.namespace,
        name=record.name,
        owner=record.owner,
        storageClass=record.storage_class,
        path=record.path,
        size=record.size,
        createdAt=rfc3339(record.created),
        reclaim="retain" if record.reclaim == "retain" else "delete",
        ready=record.ready,
        deleting=record.deleting,
        usedBy=sorted(pod.uid for pod in users),
    )
    if record.pod is not None:
        view["pod"] = record.pod
    return view


def offer_view(offer: Offer) -> dict[str, object]:
    return asdict(offer)


def counts(pods: Iterable[PodRecord]) -> dict[str, int]:
    """Pods by v1 phase."""
    return dict(Counter(str(pod.status.get("phase", "Unknown")) for pod in pods))
