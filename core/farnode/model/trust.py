"""ClusterTrustBundles: certificates that a cluster tells its pods to trust.

Source: Kubernetes, "Certificates and Certificate Signing Requests", "Cluster trust bundles", and what the kubelet makes
of them: the certificates of all that match, each once. Their order says nothing; here it is always the same.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from farnode.model.fields import check_fields
from farnode.model.names import SIGNER, TRUST_BUNDLE
from farnode.model.reader import Reader

LIMIT = 1024 * 1024
"""Bytes of one trust bundle, Kubernetes' limit."""
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----")
_LINE = 64


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """`signer` "" where it belongs to none; `certificates` are DER."""

    signer: str
    labels: Mapping[str, str]
    certificates: tuple[bytes, ...]


def read_trust_bundle(reader: Reader) -> tuple[str, TrustBundle]:
    """The name and the value of a certificates.k8s.io ClusterTrustBundle."""
    check_fields(reader.value, "trustBundle", reader.path)
    name, spec = reader.at("metadata").at("name"), reader.at("spec")
    signer = spec.at("signerName").text("")
    if signer:
        SIGNER.check(signer, spec.at("signerName").path)
    prefix = f"{signer.replace('/', ':')}:" if signer else ""
    if not TRUST_BUNDLE.check(name.text(), name.path).startswith(prefix) or (":" in name.text()) is not bool(signer):
        raise name.invalid(f"{name.text()!r} must begin with its signerName, as in example.com:signer:name")
    labels = reader.at("metadata").at("labels").text_map()
    return name.text(), TrustBundle(signer, labels, _read_certificates(spec.at("trustBundle")))


def pem(bundles: Iterable[TrustBundle]) -> bytes:
    """All certificates, each once."""
    found = sorted({certificate for bundle in bundles for certificate in bundle.certificates})
    return "".join(map(_block, found)).encode()


def _read_certificates(reader: Reader) -> tuple[bytes, ...]:
    text = reader.text()
    if len(text.encode()) > LIMIT:
        raise reader.invalid(f"has more than {LIMIT} bytes, Kubernetes' limit")
    blocks = _BLOCK.findall(text)
    if not blocks or len(blocks) != text.count("-----BEGIN "):
        raise reader.invalid("must be certificates in PEM, and nothing else: -----BEGIN CERTIFICATE----- …")
    try:
        return tuple(base64.b64decode("".join(block.split()), validate=True) for block in blocks)
    except ValueError:
        raise reader.invalid("holds a certificate that is not base64") from None


def _block(certificate: bytes) -> str:
    text = base64.b64encode(certificate).decode()
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])
