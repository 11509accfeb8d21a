"""What metrics-server, Prometheus and kubectl ask for."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from farnode import AsyncClient, Site
from farnode.model.api import StatsView
from farnode.node.kubelet.summary import resource_metrics, summary
from farnode.node.kubelet.usage import Account, NodeSample, Usage
from tests.client.live import program
from tests.node.kubelet.serving import Serving, Shelf, serving, until
from tests.sites import EmbeddedSite
from tests.testbed.kubernetes.authority import Authority

pytestmark = pytest.mark.anyio

BUSY = program("busy", "sh", "-c", "while :; do :; done")
LINE = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+( \d{13})?')


async def resource(kubelet: Serving, node: str = "site") -> dict[str, float]:
    """Values by series."""
    async with kubelet.http.get(f"https://127.0.0.1:{kubelet.server.ports[node]}/metrics/resource") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        lines = [line for line in (await answer.text()).splitlines() if not line.startswith("#")]
    assert all(LINE.fullmatch(line) for line in lines), lines
    return {line.split(" ")[0]: float(line.split(" ")[1]) for line in lines}


async def test_a_busy_pod_shows(kubelet: Serving) -> None:
    pod = await kubelet.running(BUSY)
    series = 'container_cpu_usage_seconds_total{container="main",namespace="default",pod="busy"}'

    async def is_busy() -> bool:
        return (await resource(kubelet)).get(series, 0.0) > 0.3

    await until(is_busy, "it has used a third of a second")
    found = await resource(kubelet)
    assert found["resource_scrape_error"] == 0
    assert found['container_memory_working_set_bytes{container="main",namespace="default",pod="busy"}'] > 0
    assert found['pod_cpu_usage_seconds_total{namespace="default",pod="busy"}'] >= 0.3
    assert found["node_cpu_usage_seconds_total"] >= 0.3
    assert found["node_memory_working_set_bytes"] > 0
    async with kubelet.http.get("/stats/summary") as answer:
        document = await answer.json()
    (of_pod,) = document["pods"]
    assert document["node"]["nodeName"] == "site"
    assert of_pod["podRef"] == {"name": "busy", "namespace": "default", "uid": pod["metadata"]["uid"]}
    (container,) = of_pod["containers"]
    assert container["name"] == "main"
    assert 0 < container["cpu"]["usageNanoCores"] < 2 * 10**9
    assert container["memory"]["workingSetBytes"] > 0


async def test_each_node_has_a_port(embedded_site: EmbeddedSite, authority: Authority) -> None:
    async with serving(embedded_site, authority, nodes=("one", "two")) as kubelet:
        await kubelet.running(BUSY, node="two")
        assert len(set(kubelet.server.ports.values())) == 2

        async def shows() -> bool:
            return any("busy" in series for series in await resource(kubelet, "two"))

        await until(shows, "it is among those of its node")
        assert not any("busy" in series for series in await resource(kubelet, "one"))
        for node, names in (("one", []), ("two", ["busy"])):
            async with kubelet.http.get(f"https://127.0.0.1:{kubelet.server.ports[node]}/pods") as answer:
                document = await answer.json()
            assert [pod["metadata"]["name"] for pod in document["items"] if pod["kind"] == "Pod"] == names


class Counting(AsyncClient):
    asked = 0

    async def stats(self) -> StatsView:
        self.asked += 1
        return await super().stats()


async def test_many_scrapes_are_one_question(embedded_site: EmbeddedSite) -> None:
    now = [100.0]
    async with Counting(Site("site", embedded_site.url, embedded_site.token("alice"))) as client:
        usage = Usage(Shelf({"site": client}), ["site"], lambda: now[0])
        await asyncio.gather(*(usage.of("site") for _ in range(5)))
        assert client.asked == 1
        now[0] += 1.5
        await usage.of("site")
        assert client.asked == 2


def of_main(uid: str, at: float, cpu: float, started: float = 5.0) -> Any:
    usage = {"name": "main", "cpu": cpu, "startedAt": started}
    return {"uid": uid, "namespace": "d", "name": uid, "attempt": 1, "at": at, "containers": [usage]}


def test_the_node_never_counts_back() -> None:
    account = Account(0.0)
    mine = {"a", "b"}
    assert account.sample(10, [of_main("a", 10, 4.0), of_main("b", 10, 1.0), of_main("c", 10, 9.0)], mine).cpu == 5.0
    sample = account.sample(12, [of_main("a", 12, 7.0)], mine)  # the runner of b does not answer
    assert (sample.cpu, sample.cores) == (8.0, 1.5)
    assert account.sample(13, [of_main("b", 13, 2.0)], mine).cpu == 9.0
    assert account.sample(14, [of_main("b", 14, 0.5, started=13.5)], {"b"}).cpu == 9.5  # restarted; a is gone


def test_a_sample_without_pods_and_none_at_all() -> None:
    empty = NodeSample(at=1.0, since=0.0, pods=[], cpu=0.0)
    assert summary("n", empty)["pods"] == []
    assert "node_cpu_usage_seconds_total 0.0 1000\n" in resource_metrics(empty)
    assert "resource_scrape_error 0\n" in resource_metrics(empty)
    assert resource_metrics(None).splitlines()[-1] == "resource_scrape_error 1"


async def test_a_site_that_cannot_be_asked(kubelet: Serving, embedded_site: EmbeddedSite) -> None:
    embedded_site.kill()
    try:
        assert await resource(kubelet) == {"resource_scrape_error": 1}
        async with kubelet.http.get("/stats/summary") as answer:
            assert answer.status == 503
    finally:
        embedded_site.start()


async def test_what_it_says_of_itself(kubelet: Serving) -> None:
    async with kubelet.http.get("/metrics") as answer:
        assert await answer.text() == "own_metric 1\n"
    async with kubelet.http.get("/healthz") as answer:
        assert await answer.text() == "ok"
