"""The gateway's own certificate: made once, pinned by fingerprint.

Runners and clients trust it because its fingerprint reached them in a file of mode 0600, not because somebody signed
it; so it must never change by itself, and its host names and dates matter to no one who pins.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_LIFE = timedelta(days=3653)
_SKEW = timedelta(days=1)
"""Valid from yesterday on: clocks of sites differ."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """`path` holds key and certificate in one file, so that there is never half a pair. `fingerprint` is the SHA-256
    of the DER form, 64 hex digits; `pem` the public part."""

    path: Path
    pem: str
    fingerprint: str


def ensure_certificate(state: Path, names: Collection[str]) -> Certificate:
    """The certificate in `state`, made where there is none, for these host names and addresses."""
    path = state / "tls.pem"
    if not path.exists():
        _write_once(path, _make(names, datetime.now(UTC)))
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return Certificate(path, pem, fingerprint(certificate.public_bytes(serialization.Encoding.DER)))


def fingerprint(der: bytes) -> str:
    """What is pinned, of a certificate as `SSLSocket.getpeercert(binary_form=True)` gives it."""
    return hashlib.sha256(der).hexdigest()


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """For the runners' listener and for `https://`. TLS 1.3 only: every peer is ours or of this decade."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate.path)
    return context


def _make(names: Collection[str], now: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "farnode gateway")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in sorted(names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_once(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(f".{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)  # unlike rename, leaves alone what another process made meanwhile
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
