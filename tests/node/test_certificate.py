"""The certificate of the kubelet API: asked of a real cluster, approved by an administrator, shown to who connects."""

from __future__ import annotations

import asyncio
import ssl
import stat
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509

from farnode.errors import Invalid
from farnode.node import certificate, keypair
from farnode.node.certificate import ServingCertificate
from farnode.node.keypair import Identity
from farnode.node.kube.api import KubeApi
from farnode.node.kube.connection import Connection
from tests.testbed.kubernetes import ControlPlane

pytestmark = pytest.mark.anyio
PATIENCE = 60.0
"""Seconds; a busy machine."""
NOBODY = KubeApi(Connection())


@pytest.fixture
async def api(plane: ControlPlane) -> AsyncIterator[KubeApi]:
    async with KubeApi(Connection(plane.identity("system:node:signed", ["system:nodes"]))) as api:
        yield api


@asynccontextmanager
async def running(serving: ServingCertificate) -> AsyncIterator[None]:
    task = asyncio.create_task(serving.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.02)


async def shown(serving: ServingCertificate, trust: Path | None = None) -> x509.Certificate:
    """What a new connection sees; `trust`: it is verified for 127.0.0.1."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=serving.context)
    context = ssl.create_default_context(cafile=trust)
    if trust is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
    return x509.load_der_x509_certificate(der)


def request_of(words: str) -> str:
    return words.rpartition(" ")[2]


def modes(directory: Path) -> dict[str, str]:
    found = {path.name: stat.filemode(path.stat().st_mode) for path in directory.iterdir()}
    return {".": stat.filemode(directory.stat().st_mode)} | found


@pytest.mark.system
async def test_self_signed_until_somebody_approves(api: KubeApi, plane: ControlPlane, tmp_path: Path) -> None:
    directory = tmp_path / "state"
    serving = ServingCertificate(api, "signed", "127.0.0.1", directory, time.time)
    told: list[str] = []
    serving.tell(told.append)
    first = await shown(serving)
    assert first.issuer == first.subject
    async with running(serving):
        await until(lambda: "kubectl certificate approve" in serving.waiting)
        waiting = request_of(serving.waiting)
        again = ServingCertificate(api, "signed", "127.0.0.1", directory, time.time)
        async with running(again):
            await until(lambda: "kubectl certificate approve" in again.waiting)
            assert request_of(again.waiting) == waiting, "a process that starts again asks once"
        await asyncio.to_thread(plane.kubectl, "certificate", "approve", waiting)
        await until(lambda: not serving.waiting)
    issued = await shown(serving, trust=plane.authority)
    assert issued.subject.rfc4514_string() == "CN=system:node:signed,O=system:nodes"
    assert told[-1] == ""
    assert any("waits for approval" in words for words in told)
    assert modes(directory) == {
        ".": "drwx------",
        "kubelet.pem": "-rw-------",
        "self-signed.pem": "-rw-------",
    }
    kept = ServingCertificate(NOBODY, "signed", "127.0.0.1", directory, time.time)
    assert kept.waiting == ""
    assert await shown(kept, trust=plane.authority) == issued


@pytest.mark.system
async def test_renewed_before_it_ends(api: KubeApi, plane: ControlPlane, tmp_path: Path) -> None:
    serving = ServingCertificate(api, "signed", "127.0.0.1", tmp_path, time.time)
    async with running(serving):
        await approved(serving, plane)
    first = await shown(serving, trust=plane.authority)
    near_end = keypair.part_of_life(first, 0.91) - time.time()
    later = ServingCertificate(api, "signed", "127.0.0.1", tmp_path, lambda: time.time() + near_end)
    async with running(later):
        await until(lambda: "kubectl certificate approve" in later.waiting)
        assert await shown(later, trust=plane.authority) == first, "the old one goes on meanwhile"
        await asyncio.to_thread(plane.kubectl, "certificate", "approve", request_of(later.waiting))
        await until(lambda: not later.waiting)
    second = await shown(later, trust=plane.authority)
    assert second.serial_number != first.serial_number


async def approved(serving: ServingCertificate, plane: ControlPlane) -> None:
    await until(lambda: "kubectl certificate approve" in serving.waiting)
    await asyncio.to_thread(plane.kubectl, "certificate", "approve", request_of(serving.waiting))
    await until(lambda: not serving.waiting)


@pytest.mark.system
async def test_denied_then_another_request(
    api: KubeApi, plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate, "_AGAIN", 0.2)
    serving = ServingCertificate(api, "signed", "127.0.0.1", tmp_path, time.time)
    told: list[str] = []
    serving.tell(told.append)
    async with running(serving):
        await until(lambda: "kubectl certificate approve" in serving.waiting)
        denied = request_of(serving.waiting)
        await asyncio.to_thread(plane.kubectl, "certificate", "deny", denied)
        await until(lambda: "approve" in serving.waiting and request_of(serving.waiting) != denied)
        await approved(serving, plane)
    assert any(f"request {denied} was denied" in words for words in told)


@pytest.mark.system
async def test_a_request_that_is_removed_is_made_again(api: KubeApi, plane: ControlPlane, tmp_path: Path) -> None:
    serving = ServingCertificate(api, "signed", "127.0.0.1", tmp_path, time.time)
    async with running(serving):
        await until(lambda: "kubectl certificate approve" in serving.waiting)
        await asyncio.to_thread(plane.kubectl, "delete", "csr", request_of(serving.waiting))
        async with asyncio.timeout(PATIENCE):
            while (await asyncio.to_thread(approve, plane, request_of(serving.waiting))) != 0:
                await asyncio.sleep(0.1)
        await until(lambda: not serving.waiting)


def approve(plane: ControlPlane, name: str) -> int:
    return plane.kubectl("certificate", "approve", name, check=False).returncode


@pytest.mark.system
async def test_who_may_not_ask_says_so(plane: ControlPlane, tmp_path: Path) -> None:
    async with KubeApi(Connection(plane.identity("nobody"))) as api:
        serving = ServingCertificate(api, "signed", "127.0.0.1", tmp_path, time.time)
        async with running(serving):
            await until(lambda: "cannot create resource" in serving.waiting)
        assert (await shown(serving)).subject.rfc4514_string() == "CN=system:node:signed,O=system:nodes"


async def test_a_certificate_for_another_address_is_not_shown(tmp_path: Path) -> None:
    key, identity = keypair.new_key(), Identity("signed", "127.0.0.1")
    keypair.write(tmp_path / "kubelet.pem", key, [keypair.self_signed(key, identity, time.time())])
    assert ServingCertificate(NOBODY, "signed", "127.0.0.1", tmp_path, time.time).waiting == ""
    for node, address, clock in (
        ("signed", "node.example", time.time),
        ("other", "127.0.0.1", time.time),
        ("signed", "127.0.0.1", lambda: time.time() + 400 * 86400),
    ):
        assert ServingCertificate(NOBODY, node, address, tmp_path, clock).waiting


@pytest.mark.parametrize("content", [b"", b"noise", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
async def test_a_broken_file_is_not_the_end(tmp_path: Path, content: bytes) -> None:
    for name in ("kubelet.pem", "kubelet-request.pem"):
        (tmp_path / name).write_bytes(content)
    serving = ServingCertificate(NOBODY, "signed", "node.example", tmp_path, time.time)
    names = (await shown(serving)).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node.example"]


async def test_a_key_that_cannot_be_kept_is_tried_again(tmp_path: Path) -> None:
    """What the kubelet API shows meanwhile is no reason to end the nodes of this process."""
    (tmp_path / "kubelet-request.pem").mkdir()
    serving = ServingCertificate(NOBODY, "signed", "127.0.0.1", tmp_path, time.time)
    task = asyncio.create_task(serving.run())
    try:
        await until(lambda: task.done() or "kubelet-request.pem" in serving.waiting)
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Invalid, match=r"state: .*file/below"):
        ServingCertificate(NOBODY, "signed", "127.0.0.1", tmp_path / "file" / "below", time.time)
