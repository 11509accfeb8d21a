"""Traces as a collector receives them."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from uuid import UUID

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from farnode.node import tracing
from farnode.node.tracing import VARIABLES, Step

UID = "0f8fad5b-d9cb-469f-a165-70867728950e"
POD = {
    "metadata": {"uid": UID, "name": "p", "namespace": "ns", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "status": {
        "phase": "Running",
        "containerStatuses": [{"state": {"running": {"startedAt": "2026-01-01T00:00:03Z"}}}],
    },
}
CREATED = 1767225600.0


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ExportTraceServiceRequest]]:
    """A collector, and what it was sent."""
    found: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            whole = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            found.append(ExportTraceServiceRequest.FromString(whole))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(VARIABLES[0], f"http://127.0.0.1:{server.server_port}")
        yield found
        server.shutdown()


def test_a_pods_way_is_a_trace_of_its_uid(received: list[ExportTraceServiceRequest]) -> None:
    traces = tracing.configured("vega")
    assert traces is not None
    traces.tell(POD, tracing.steps(POD, CREATED + 0.5, CREATED + 1, CREATED + 3.25))
    traces.close()
    (resource,) = received[0].resource_spans
    assert "vega" in [one.value.string_value for one in resource.resource.attributes if one.key == "k8s.node.name"]
    spans = {span.name: span for span in resource.scope_spans[0].spans}
    assert {span.trace_id for span in spans.values()} == {UUID(UID).bytes}
    whole = spans.pop("pod")
    assert {span.parent_span_id for span in spans.values()} == {whole.span_id}
    lengths = {name: (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9 for name, span in spans.items()}
    assert lengths == pytest.approx({"schedule": 0.5, "hand over": 0.5, "wait and start": 2, "publish": 0.25}, abs=1e-3)
    assert UID in [one.value.string_value for one in whole.attributes]


def test_no_step_ends_before_it_begins() -> None:
    """What is cut to whole seconds may lie before what was seen earlier."""
    steps = tracing.steps(POD, CREATED + 3.4, CREATED + 3.5, CREATED + 3.6)
    assert steps[2] == Step("wait and start", CREATED + 3.5, CREATED + 3.5)
    assert all(step.begin <= step.end for step in steps)


def test_there_are_none_where_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert tracing.configured("vega") is None
