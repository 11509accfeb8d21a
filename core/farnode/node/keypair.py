"""Keys and certificates of the kubelet API: how they are made, kept and judged."""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Key = ec.EllipticCurvePrivateKey
_SKEW = timedelta(hours=1)
_DER = serialization.Encoding.DER
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class Identity:
    """What the certificate says: whose it is (`system:node:NAME` of `system:nodes`, as the signer
    kubernetes.io/kubelet-serving wants it) and at which address, an IP address or a host name, it is shown."""

    node: str
    address: str

    @property
    def subject(self) -> x509.Name:
        organization = x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "system:nodes")
        return x509.Name([organization, x509.NameAttribute(x509.NameOID.COMMON_NAME, f"system:node:{self.node}")])

    @property
    def names(self) -> x509.SubjectAlternativeName:
        try:
            return x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(self.address))])
        except ValueError:
            return x509.SubjectAlternativeName([x509.DNSName(self.address)])

    def owns(self, certificate: x509.Certificate) -> bool:
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return False
        return certificate.subject == self.subject and set(self.names) <= set(names)


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def fingerprint(key: Key) -> str:
    """Of the public half, in hex digits."""
    public = key.public_key().public_bytes(_DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()


def request(key: Key, identity: Identity) -> bytes:
    """A certificate request, PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(identity.subject)
    return builder.add_extension(identity.names, critical=False).sign(key, hashes.SHA256()).public_bytes(_PEM)


def self_signed(key: Key, identity: Identity, at: float) -> x509.Certificate:
    """Until the cluster signs one: for who does not verify. Valid for a year, as the cluster's are."""
    now = datetime.fromtimestamp(at, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(identity.subject)
        .issuer_name(identity.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=365))
        .add_extension(identity.names, critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def belongs(chain: Sequence[x509.Certificate], key: Key) -> bool:
    return bool(chain) and chain[0].public_key() == key.public_key()


def part_of_life(certificate: x509.Certificate, part: float) -> float:
    """When it has lived that part of its life, in seconds since the epoch."""
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    return begin + (end - begin) * part


def write(path: Path, key: Key, chain: Sequence[x509.Certificate] = ()) -> None:
    """Key and certificates in one file of mode 0600, replaced as a whole: there is never half a pair."""
    private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    temporary = path.with_suffix(".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(private + b"".join(certificate.public_bytes(_PEM) for certificate in chain))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read(path: Path) -> tuple[Key, list[x509.Certificate]] | None:
    """None where there is no such file, or where it is none of ours."""
    try:
        content = path.read_bytes()
        key = serialization.load_pem_private_key(content, None)
        chain = x509.load_pem_x509_certificates(content) if b"BEGIN CERTIFICATE" in content else []
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return (key, chain) if isinstance(key, Key) else None
