"""OpenTelemetry traces of pods: one of each, from its object's creation until its containers run, as steps.

A trace's id is the pod's UID, so it is found without a search. Where they go is said by OpenTelemetry's own variables
(OTEL_EXPORTER_OTLP_ENDPOINT and the like); without one of them, or without the extra `tracing`, there are none.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

Json = dict[str, Any]
VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_log = logging.getLogger(__name__)


class Step(NamedTuple):
    """Times are seconds since the epoch."""

    name: str
    begin: float
    end: float


class Traces:
    """`processor` gets the finished spans."""

    def __init__(self, processor: SpanProcessor, node: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.id_generator import IdGenerator

        class FromUid(IdGenerator):
            """The next trace's id is set; spans' are random."""

            uid = 1

            def generate_span_id(self) -> int:
                return random.getrandbits(64) or 1

            def generate_trace_id(self) -> int:
                return self.uid

        self._ids = FromUid()
        resource = Resource.create({"service.name": "farnode-node", "k8s.node.name": node})
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("farnode.node")

    def tell(self, pod: Json, steps: Sequence[Step]) -> None:
        """A trace of one span for each step, below one from the first's begin to the last's end."""
        from opentelemetry import trace
        from opentelemetry.context import Context

        metadata = pod["metadata"]
        self._ids.uid = UUID(metadata["uid"]).int
        about = {f"k8s.pod.{key}": metadata[key] for key in ("uid", "name")}
        about["k8s.namespace.name"] = metadata["namespace"]
        begin = _nanoseconds(steps[0].begin)
        whole = self._tracer.start_span("pod", Context(), attributes=about, start_time=begin)
        below = trace.set_span_in_context(whole)
        for step in steps:
            span = self._tracer.start_span(step.name, below, start_time=_nanoseconds(step.begin))
            span.end(_nanoseconds(step.end))
        whole.end(_nanoseconds(steps[-1].end))

    def close(self) -> None:
        """What is not sent yet is sent, for some seconds at most."""
        self._provider.shutdown()


def steps(pod: Json, since: float, accepted: float, now: float) -> list[Step]:
    """How a pod that runs, or has run, came to do so: it was seen `since`, `accepted` by its site, and told of `now`.
    The API server and the site give whole seconds: no step ends before it begins."""
    status = pod.get("status") or {}
    listed = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    states = [
        one.get("state", {}).get(kind, {}).get("startedAt") for one in listed for kind in ("running", "terminated")
    ]
    started = min((_seconds(text) for text in states if text), default=now)
    times = [_seconds(pod["metadata"]["creationTimestamp"]), since, accepted, started, now]
    ends = list(accumulate(times, max))
    names = ("schedule", "hand over", "wait and start", "publish")
    return [Step(name, begin, end) for name, begin, end in zip(names, ends, ends[1:], strict=False)]


def configured(node: str) -> Traces | None:
    """As the environment says."""
    if not any(os.environ.get(name) for name in VARIABLES):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        _log.warning("no traces: %s is not installed: pip install 'farnode[tracing]'", error.name)
        return None
    return Traces(BatchSpanProcessor(OTLPSpanExporter()), node)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
