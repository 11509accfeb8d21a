"""Who is served: certificates, tokens, nobody."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from farnode.errors import Denied, Invalid, Transient
from farnode.node.kubelet.access import subject, trust
from farnode.node.kubelet.settings import KubeletSettings
from tests.client.live import program
from tests.node.kubelet.serving import serving, trusted, until
from tests.sites import EmbeddedSite
from tests.testbed.kubernetes.authority import Authority

pytestmark = pytest.mark.anyio


class Rules:
    """An access.Reviewer that knows one token and one user, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def user(self, name: str, groups: Sequence[str], verb: str, subresource: str) -> bool:
        self.asked.append((verb, subresource))
        return (name, list(groups)) == ("kube-apiserver-kubelet-client", ["system:masters"])

    async def token(self, token: str, verb: str, subresource: str) -> bool:
        if token == "lost":
            raise Transient("the API server is away")
        if token != "good":
            raise Denied("unknown")
        return subresource == "metrics"


async def test_callers_without_anything(embedded_site: EmbeddedSite, authority: Authority) -> None:
    async with serving(embedded_site, authority, certificate="") as kubelet:
        for path in ("/pods", "/metrics", "/containerLogs/a/b/c", "/exec/a/b/c?command=x&output=1", "/nothing"):
            async with kubelet.http.get(path, headers={"Authorization": "Bearer good"}) as answer:
                assert (answer.status, await answer.text()) == (401, "Unauthorized")
        async with kubelet.http.post("/portForward/a/b", headers={"Upgrade": "SPDY/3.1"}) as answer:
            assert answer.status == 401
        async with kubelet.http.get("/healthz") as answer:
            assert answer.status == 200
    async with (
        serving(embedded_site, authority, certificate="", anonymous=True, client_ca=None) as kubelet,
        kubelet.http.get("/pods") as answer,
    ):
        assert answer.status == 200


async def test_an_authority_that_follows_another(
    embedded_site: EmbeddedSite, authority: Authority, tmp_path: Path
) -> None:
    following = Authority(tmp_path)
    following.issue("apiserver", "kube-apiserver-kubelet-client", ["system:masters"])
    both = tmp_path / "both.crt"
    both.write_bytes(authority.certificate.read_bytes())
    tls = trusted(authority, "")
    tls.load_cert_chain(tmp_path / "apiserver.crt", tmp_path / "apiserver.key")
    async with serving(embedded_site, authority, client_ca=both, authority_every=0.05) as kubelet:

        async def served() -> bool:
            connector = aiohttp.TCPConnector(ssl=tls)
            async with aiohttp.ClientSession(kubelet.url, connector=connector) as http:
                try:
                    async with http.get("/pods") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

        assert not await served()
        both.write_bytes(b"nothing that could be read")
        await asyncio.sleep(0.1)
        both.write_bytes(authority.certificate.read_bytes() + following.certificate.read_bytes())
        await until(served, "it is trusted")


async def test_a_certificate_of_somebody_else(
    embedded_site: EmbeddedSite, authority: Authority, tmp_path: Path
) -> None:
    Authority(tmp_path).issue("apiserver", "kube-apiserver-kubelet-client", ["system:masters"])
    tls = trusted(authority, "")
    tls.load_cert_chain(tmp_path / "apiserver.crt", tmp_path / "apiserver.key")
    async with (
        serving(embedded_site, authority) as kubelet,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as http,
    ):
        with pytest.raises(aiohttp.ClientError):
            await http.get(f"{kubelet.url}/pods")


async def test_certificates_are_reviewed(embedded_site: EmbeddedSite, authority: Authority) -> None:
    authority.issue("user", "alice", ["developers"])
    rules = Rules()
    async with serving(embedded_site, authority, reviewer=rules) as kubelet:
        await kubelet.ended(program("done", "true"))
        async with kubelet.http.get("/containerLogs/default/done/main") as answer:
            assert answer.status == 200
        async with kubelet.http.post("/exec/default/done/main") as answer:
            assert answer.status == 400
        async with kubelet.http.get("/metrics/resource") as answer:
            assert answer.status == 200
    assert rules.asked == [("get", "proxy"), ("create", "proxy"), ("get", "metrics")]
    async with (
        serving(embedded_site, authority, reviewer=rules, certificate="user") as kubelet,
        kubelet.http.get("/pods") as answer,
    ):
        words = "Forbidden (verb=get, resource=nodes, subresource=proxy)"
        assert (answer.status, await answer.text()) == (403, words)


@pytest.mark.parametrize(
    ("token", "path", "status"),
    [
        ("good", "/metrics", 200),
        ("good", "/metrics/resource", 200),
        ("good", "/stats/summary", 403),
        ("good", "/pods", 401),
        ("bad", "/metrics", 401),
        ("lost", "/metrics", 503),
    ],
)
async def test_tokens(embedded_site: EmbeddedSite, authority: Authority, token: str, path: str, status: int) -> None:
    shown = {"Authorization": f"Bearer {token}"}
    async with (
        serving(embedded_site, authority, reviewer=Rules(), certificate="") as kubelet,
        kubelet.http.get(path, headers=shown) as answer,
    ):
        assert answer.status == status


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), ("", "NO_CERTIFICATE_OR_CRL_FOUND")])
def test_an_authority_that_cannot_be_read(tmp_path: Path, content: str | None, words: str) -> None:
    authority = tmp_path / "ca.crt"
    if content is not None:
        authority.write_text(content)
    with pytest.raises(Invalid, match=words):
        trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), KubeletSettings(nodes=("one",), client_ca=authority))


def test_whose_a_certificate_is() -> None:
    masters = (("organizationName", "system:masters"),)
    alice, bob = (("commonName", "alice"),), (("commonName", "bob"),)
    assert subject({"subject": (masters, alice)}) == ("alice", ["system:masters"])
    assert subject({"subject": (masters, alice, bob)}) == ("bob", ["system:masters"])
    assert subject({"subject": (masters,)}) is None
