"""Records as the API shows them: pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict

from farnode.gateway.records import AllocationRecord, PodRecord, Stage
from farnode.model.api import AllocationView, PodView
from farnode.model.bundle import Bundle
from farnode.model.offer import Offer
from farnode.model.times import rfc3339


def allocation_view(record: AllocationRecord) -> AllocationView:
    view = AllocationView(
        nonce=record.nonce, phase=record.phase or record.life.value, offer=record.offer, nodes=list(record.nodes)
    )
    if record.job is not None:
        view["job"] = record.job
    if record.reason:
        view["reason"] = record.reason
    if record.words:
        view["words"] = record.words
    if record.expected_start is not None:
        view["expectedStart"] = record.expected_start
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
        status=dict(record.status),
        gpus=list(record.gpus),
        notes=[dict(note) for note in record.notes],
    )
    if allocation is not None:
        view["allocation"] = allocation_view(allocation)
    return view


def offer_view(offer: Offer) -> dict[str, object]:
    return asdict(offer)


def counts(pods: Iterable[PodRecord]) -> dict[str, int]:
    """Pods by v1 phase."""
    return dict(Counter(str(pod.status.get("phase", "Unknown")) for pod in pods))
