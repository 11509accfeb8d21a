"""Who may ask a node what, by the API server's own judgement."""

from __future__ import annotations

import pytest

from farnode.errors import Denied, Permanent
from farnode.node.kube.api import KubeApi
from farnode.node.kube.connection import Connection
from farnode.node.kubelet.reviews import Reviews
from tests.testbed.kubernetes import ControlPlane

pytestmark = [pytest.mark.system, pytest.mark.anyio]

ADMIN = ("admin", ["system:masters"])


async def test_users_and_tokens(plane: ControlPlane) -> None:
    plane.kubectl("create", "serviceaccount", "scraper")
    plane.kubectl("create", "clusterrole", "scrapes", "--verb=get", "--resource=nodes/metrics")
    plane.kubectl(
        "create", "clusterrolebinding", "scrapes", "--clusterrole=scrapes", "--serviceaccount=default:scraper"
    )
    token = plane.kubectl("create", "token", "scraper").stdout.strip()
    now = [0.0]
    async with KubeApi(Connection(plane.kubeconfig)) as api:
        reviews = Reviews(api, "site", lambda: now[0])
        assert await reviews.user(*ADMIN, "create", "proxy")
        assert not await reviews.user("nobody", ["nothing"], "create", "proxy")
        assert await reviews.token(token, "get", "metrics")
        assert not await reviews.token(token, "get", "stats")
        with pytest.raises(Denied, match="does not know this token"):
            await reviews.token("e30.e30.e30", "get", "metrics")
        asked = api.calls.total()
        assert await reviews.token(token, "get", "metrics")
        assert not await reviews.user("nobody", ["nothing"], "create", "proxy")
        assert api.calls.total() == asked
        now[0] = 31.0
        assert not await reviews.user("nobody", ["nothing"], "create", "proxy")
        assert await reviews.user(*ADMIN, "create", "proxy")
        assert api.calls.total() == asked + 1


async def test_what_everybody_may_who_showed_something(plane: ControlPlane) -> None:
    plane.kubectl("create", "clusterrole", "reads-logs", "--verb=get", "--resource=nodes/log")
    plane.kubectl("create", "clusterrolebinding", "all", "--clusterrole=reads-logs", "--group=system:authenticated")
    async with KubeApi(Connection(plane.kubeconfig)) as api:
        assert await Reviews(api, "site").user("somebody", ["nothing"], "get", "log")


async def test_a_node_that_may_not_ask(plane: ControlPlane) -> None:
    async with KubeApi(Connection(plane.identity("stranger"))) as api:
        with pytest.raises(Permanent, match="this node may not ask the API server"):
            await Reviews(api, "site").user(*ADMIN, "create", "proxy")
