"""The gateway's certificate: made once, private, and seen by who connects."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

from cryptography import x509

from farnode.gateway.tls import ensure_certificate, fingerprint, server_context


def test_it_is_made_once_and_private(tmp_path: Path) -> None:
    first = ensure_certificate(tmp_path, ["login1", "10.0.0.1"])
    assert ensure_certificate(tmp_path, ["another"]) == first
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["tls.pem"]
    assert "PRIVATE" not in first.pem


def test_what_it_says(tmp_path: Path) -> None:
    pem = ensure_certificate(tmp_path, ["login1", "10.0.0.1", "::1"]).pem
    certificate = x509.load_pem_x509_certificate(pem.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["login1"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1", "::1"]
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert 3650 < life.days < 3660


def test_a_peer_sees_the_fingerprint(tmp_path: Path) -> None:
    certificate = ensure_certificate(tmp_path, ["localhost"])
    client_context = ssl.create_default_context(cadata=certificate.pem)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context(certificate).wrap_bio(up, down, server_side=True)
    client = client_context.wrap_bio(down, up, server_hostname="localhost")
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    der = client.getpeercert(binary_form=True)
    assert der is not None
    assert fingerprint(der) == certificate.fingerprint
    assert client.version() == "TLSv1.3"
