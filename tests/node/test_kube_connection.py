"""Who we are at the API server: kubeconfigs with certificates, tokens, plugins; the service account of a pod."""

from __future__ import annotations

import json
import ssl
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from farnode.errors import Denied, Invalid
from farnode.node.kube.api import KubeApi
from farnode.node.kube.connection import Connection
from tests.testbed.kubernetes import ControlPlane

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def kubeconfig(path: Path, user: dict[str, Any], **cluster: Any) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://kube.example:6443/base/", **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document))
    return path


def plugin(directory: Path, expiry: float | None) -> dict[str, Any]:
    """It counts its runs in a file: the token is the number of the run."""
    counter = directory / "runs"
    status = {"token": "TOKEN"} | ({"expirationTimestamp": _time(expiry)} if expiry else {})
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    program = directory / "plugin"
    program.write_text(
        f"#!{sys.executable}\n"
        f"with open({str(counter)!r}, 'a+') as f: f.write('x'); f.seek(0); run = len(f.read())\n"
        f"print({json.dumps(json.dumps(credential))}.replace('TOKEN', f'run-{{run}}'))\n"
    )
    program.chmod(0o755)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program)}}


def files(directory: Path) -> list[Path]:
    return list(directory.iterdir())


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_a_token_file_is_read_again(tmp_path: Path, clock: Clock) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    connection = Connection(kubeconfig(tmp_path / "config", {"tokenFile": "token"}), clock=clock)
    found = await connection.access()
    assert (found.url, found.authorization) == ("https://kube.example:6443/base", "Bearer first")
    token.write_text("second\n")
    clock.now += 59
    assert (await connection.access()).authorization == "Bearer first"
    clock.now += 2
    again = await connection.access()
    assert again.authorization == "Bearer second"
    assert again.tls is found.tls, "connections can be kept: the certificates are the same"


async def test_what_cannot_be_read_any_more_stays_in_force(tmp_path: Path, clock: Clock) -> None:
    path = kubeconfig(tmp_path / "config", {"token": "held"})
    connection = Connection(path, clock=clock)
    await connection.access()
    path.write_text("{")
    clock.now += 61
    assert (await connection.access()).authorization == "Bearer held"


async def test_a_plugin_is_asked_again_before_its_token_expires(tmp_path: Path, clock: Clock) -> None:
    path = kubeconfig(tmp_path / "config", plugin(tmp_path, clock.now + 3600))
    connection = Connection(path, clock=clock)
    assert (await connection.access()).authorization == "Bearer run-1"
    clock.now += 3200
    assert (await connection.access()).authorization == "Bearer run-1"
    clock.now += 101
    assert (await connection.access()).authorization == "Bearer run-2"


async def test_a_plugin_without_expiry_is_asked_again_when_it_is_refused(tmp_path: Path, clock: Clock) -> None:
    connection = Connection(kubeconfig(tmp_path / "config", plugin(tmp_path, None)), clock=clock)
    held = await connection.access()
    clock.now += 86400
    assert await connection.access() is held
    renewed = await connection.renew(held)
    assert renewed.authorization == "Bearer run-2"
    assert await connection.renew(held) is renewed, "somebody else was faster"


async def test_other_ways_to_reach_it(tmp_path: Path) -> None:
    settings = {"tls-server-name": "kubernetes", "proxy-url": "http://proxy:3128", "insecure-skip-tls-verify": True}
    found = await Connection(kubeconfig(tmp_path / "config", {}, **settings)).access()
    assert (found.server_name, found.proxy, found.authorization) == ("kubernetes", "http://proxy:3128", None)
    assert found.tls
    assert found.tls.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(
    ("server", "proxy"),
    [
        ("https://kube.example:6443", "http://proxy:3128"),
        ("https://in.cluster.local:6443", None),
        ("https://127.0.0.1:6443", None),
    ],
)
async def test_a_proxy_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str, proxy: str | None
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "cluster.local")
    assert (await Connection(kubeconfig(tmp_path / "config", {}, server=server)).access()).proxy == proxy


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "Config not found|is incomplete|kubeconfig"),
        ("{}", "current-context"),
        ("current-context: x\ncontexts: []\nclusters: []\n", "context"),
        ("[1, 2", "kubeconfig"),
    ],
)
async def test_a_broken_file_is_named(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Invalid, match=words) as caught:
        await Connection(path).access()
    assert str(path) in str(caught.value)


async def test_a_plugin_that_fails_is_quoted(tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "false"}}
    with pytest.raises(Invalid, match="process returned 1"):
        await Connection(kubeconfig(tmp_path / "config", user)).access()


async def test_the_service_account_of_a_pod(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (tmp_path / "ca.crt").write_text(ssl.DER_cert_to_PEM_cert(ssl.create_default_context().get_ca_certs(True)[0]))
    (tmp_path / "token").write_text("one")
    connection = Connection(service_account=tmp_path, clock=clock)
    found = await connection.access()
    with pytest.raises(Invalid, match=r"service account .*/none"):
        await Connection(service_account=tmp_path / "none").access()
    assert (found.url, found.authorization) == ("https://[fd00::1]:443", "Bearer one")
    (tmp_path / "token").write_text("two")
    clock.now += 61
    assert (await connection.access()).authorization == "Bearer two"


@pytest.mark.system
async def test_a_certificate_opens_the_door_and_leaves_no_key_behind(
    plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with KubeApi(Connection(plane.kubeconfig)) as api:
        assert (await api.get("/version"))["major"] == "1"
    assert files(tmp_path) == []


@pytest.mark.system
async def test_a_token_that_became_invalid_is_replaced_within_the_call(plane: ControlPlane, tmp_path: Path) -> None:
    path = plane.service_account("default", "default")
    document = yaml.safe_load(path.read_text())
    good = document["users"][0]["user"]["token"]
    document["users"][0]["user"]["token"] = "stale"
    stale = tmp_path / "config"
    stale.write_text(yaml.safe_dump(document))
    async with KubeApi(Connection(stale)) as api:
        with pytest.raises(Denied, match="Unauthorized"):
            await api.get("/version")
        document["users"][0]["user"]["token"] = good
        stale.write_text(yaml.safe_dump(document))
        reviewed = await api.create(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        )
    assert reviewed["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"
