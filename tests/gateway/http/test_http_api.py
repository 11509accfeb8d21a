"""Every route in process: what is answered, to whom, and how it fails."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from farnode.errors import Permanent, Transient
from tests.gateway.http.service import Memory

pytestmark = pytest.mark.anyio
GOLDEN = Path(__file__).parent.parent / "openapi.json"
ADMIN = {"authorization": "Bearer admin"}


def error(response: httpx.Response) -> tuple[int, str, str]:
    content = response.json()["error"]
    assert set(content) == {"code", "field", "message"}
    assert content["message"]
    return response.status_code, content["code"], content["field"]


async def test_a_batch_is_answered_pod_by_pod(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/pods", json={"bundles": [{"uid": "a"}, {"uid": "p"}, 7]})
    assert [verdict["verdict"] for verdict in response.json()["verdicts"]] == ["accepted", "exists", "invalid"]
    listed = (await client.get("/v1/pods")).json()
    assert ([pod["uid"] for pod in listed["pods"]], listed["seq"]) == (["p", "a"], 1)


async def test_pods_of_others_do_not_exist(client: httpx.AsyncClient) -> None:
    bob = {"authorization": "Bearer bob"}
    assert (await client.get("/v1/pods/p")).json()["owner"] == "alice"
    assert error(await client.get("/v1/pods/p", headers=bob)) == (404, "notFound", "")
    response = await client.post("/v1/pods/delete", json={"pods": [{"uid": "p", "graceSeconds": 0}]}, headers=bob)
    assert response.json()["verdicts"][0]["verdict"] == "unknown"


@pytest.mark.parametrize(
    "path", ["/v1/pods", "/v1/pods/p", "/v1/events", "/v1/pods/p/logs/main", "/v1/site", "/metrics"]
)
async def test_a_token_is_needed(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path, headers={"authorization": "Bearer wrong"})
    assert error(response) == (401, "unauthenticated", "")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_only_an_admin_drains_and_stops(client: httpx.AsyncClient) -> None:
    assert error(await client.post("/v1/site/drain", json={"drain": True})) == (403, "denied", "")
    assert error(await client.post("/v1/site/stop")) == (403, "denied", "")
    assert (await client.post("/v1/site/drain", json={"drain": True}, headers=ADMIN)).json()["draining"] is True
    assert (await client.post("/v1/site/stop", headers=ADMIN)).json() == {"pods": 1}


async def test_probes_need_no_token(client: httpx.AsyncClient, service: Memory) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert (await client.get(path, headers={"authorization": ""})).status_code == 200
    service.missing = "the batch system does not answer"
    response = await client.get("/readyz")
    assert error(response) == (503, "transient", "")
    assert response.headers["retry-after"] == "1"


async def test_metrics_are_prometheus_text(client: httpx.AsyncClient) -> None:
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert response.text == "farnode_pods 1\n"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", ""),
        (b"{", ""),
        (b"[]", ""),
        (b"\xff", ""),
        (b'{"bundles": NaN}', ""),
        (b'{"bundles": ["\\ud800"]}', ""),
        (b"[" * 2000, ""),
        (b'{"bundles": {}}', "bundles"),
        (b"{}", "bundles"),
    ],
)
async def test_a_body_that_is_no_batch(client: httpx.AsyncClient, body: bytes, field: str) -> None:
    assert error(await client.post("/v1/pods", content=body)) == (400, "invalid", field)


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ("p", "pods[0].uid"),
        ({}, "pods[0].uid"),
        ({"uid": "p", "graceSeconds": -1}, "pods[0].graceSeconds"),
        ({"uid": "p", "graceSeconds": True}, "pods[0].graceSeconds"),
        ({"uid": "p", "purge": "yes"}, "pods[0].purge"),
    ],
)
async def test_a_deletion_is_checked(client: httpx.AsyncClient, item: Any, field: str) -> None:
    assert error(await client.post("/v1/pods/delete", json={"pods": [item]})) == (400, "invalid", field)


async def test_a_batch_is_bounded_in_pods(service: Memory, client: httpx.AsyncClient, app: FastAPI) -> None:
    body = json.dumps({"bundles": [0] * 10_001})
    assert error(await client.post("/v1/pods", content=body))[0] == 413
    object.__setattr__(app.state.context, "max_body", 10**6)
    assert error(await client.post("/v1/pods", content=body)) == (400, "invalid", "bundles")


async def test_a_body_too_large_is_refused_while_it_arrives(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 1024

    assert error(await client.post("/v1/pods", content=endless())) == (413, "tooLarge", "")
    assert sent <= 6
    assert error(await client.post("/v1/pods", content=b" " * 5000)) == (413, "tooLarge", "")


async def test_inputs(client: httpx.AsyncClient) -> None:
    assert (await client.put("/v1/pods/p/inputs", json={"a": 1})).json() == {"version": 1}
    assert error(await client.put("/v1/pods/q/inputs", json={"a": 1})) == (404, "notFound", "")


async def test_logs_take_the_options_of_kubernetes(client: httpx.AsyncClient, service: Memory) -> None:
    query = "follow=true&tailLines=5&limitBytes=9&timestamps=true&sinceSeconds=60"
    response = await client.get(f"/v1/pods/p/logs/main?{query}")
    assert (response.content, response.headers["content-type"]) == (b"one\ntwo\n", "application/octet-stream")
    await client.get("/v1/pods/p/logs/main?sinceTime=1970-01-01T00:01:00Z")
    first, second = service.log_options
    assert first == {
        "follow": True, "previous": False, "timestamps": True, "tail": 5, "limit": 9, "since": 940.0
    }  # fmt: skip
    assert second["since"] == 60.0


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("/v1/pods/q/logs/main", 404, ""),
        ("/v1/pods/p/logs/other", 404, ""),
        ("/v1/pods/p/logs/main?previous=true", 400, "previous"),
        ("/v1/pods/p/logs/main?tailLines=-1", 400, "tailLines"),
        ("/v1/pods/p/logs/main?sinceTime=yesterday", 400, "sinceTime"),
        ("/v1/events?after=x", 400, "after"),
        ("/v1/events?after=0", 410, ""),
        ("/v1/nothing", 404, ""),
    ],
)
async def test_what_cannot_be_streamed_has_a_proper_status(
    client: httpx.AsyncClient, query: str, status: int, field: str
) -> None:
    response = await client.get(query)
    assert (response.status_code, error(response)[2]) == (status, field)


async def test_another_method(client: httpx.AsyncClient) -> None:
    response = await client.delete("/v1/pods")
    assert error(response) == (405, "methodNotAllowed", "")
    assert response.headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (Permanent("the account has ended"), 409, "conflict"),
        (Transient("busy", retry_after=2.5), 503, "transient"),
        (RuntimeError("secret words"), 500, "internal"),
    ],
)
async def test_errors_of_the_service(
    client: httpx.AsyncClient, service: Memory, raised: Exception, status: int, code: str
) -> None:
    def fail(*_: Any) -> Any:
        raise raised

    service.pods = fail  # type: ignore[method-assign, assignment]
    response = await client.get("/v1/pods")
    assert error(response) == (status, code, "")
    assert "secret" not in response.text
    assert response.headers.get("retry-after") == ("3" if status == 503 else None)


async def test_the_published_description_is_pinned(app: FastAPI) -> None:
    """Clients are made from it. After a wanted change: FARNODE_UPDATE_GOLDEN=1 pytest tests/gateway/http"""
    actual = json.dumps(app.openapi(), indent=1, ensure_ascii=False) + "\n"
    if "FARNODE_UPDATE_GOLDEN" in os.environ:
        GOLDEN.write_text(actual)
    assert actual == GOLDEN.read_text(), "the API's description changed: see this test's first line"
