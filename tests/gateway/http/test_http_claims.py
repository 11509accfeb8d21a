"""The routes of claims."""

from __future__ import annotations

import httpx
import pytest

from farnode.model.api import ClaimView
from tests.gateway.http.service import Memory

pytestmark = pytest.mark.anyio


def kept(name: str, owner: str = "alice", *users: str) -> ClaimView:
    return ClaimView(namespace="default", name=name, owner=owner, usedBy=list(users))


async def test_claims_are_listed_and_deleted(client: httpx.AsyncClient, service: Memory) -> None:
    service.kept = [kept("a.b"), kept("theirs", "bob")]
    assert [one["name"] for one in (await client.get("/v1/claims")).json()["claims"]] == ["a.b"]
    deleted = await client.delete("/v1/claims/default/a.b")
    assert (deleted.status_code, deleted.json()["deleting"]) == (200, True)
    assert (await client.get("/v1/claims")).json() == {"claims": []}


async def test_a_claim_that_cannot_be_deleted(client: httpx.AsyncClient, service: Memory) -> None:
    service.kept = [kept("busy", "alice", "a-pod")]
    for path, status in (("default/busy", 409), ("other/busy", 404), ("default/none", 404)):
        answer = await client.delete(f"/v1/claims/{path}")
        assert (answer.status_code, bool(answer.json()["error"]["message"])) == (status, True)
    assert service.kept


async def test_whose_claim_it_is_is_passed_on(client: httpx.AsyncClient, service: Memory) -> None:
    service.kept = [kept("theirs", "bob")]
    headers = {"authorization": "Bearer admin"}
    assert (await client.delete("/v1/claims/default/theirs", headers=headers)).status_code == 404
    assert (await client.delete("/v1/claims/default/theirs?owner=bob", headers=headers)).status_code == 200
