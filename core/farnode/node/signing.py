"""A certificate of the cluster for the kubelet API: the request, and what becomes of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from contextlib import aclosing

from cryptography import x509

from farnode.errors import FarnodeError
from farnode.node import keypair
from farnode.node.keypair import Identity, Key
from farnode.node.kube.api import KubeApi
from farnode.node.kube.failures import Conflict, Json
from farnode.node.kube.watch import Change, Gone, Listed, reflect

_REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


class Refused(FarnodeError):
    """Somebody denied the request, or the signer failed."""


async def signed(api: KubeApi, key: Key, identity: Identity, told: Callable[[str], None]) -> list[x509.Certificate]:
    """The certificate for this key, however long somebody takes to approve it; a request that is removed meanwhile is
    made again. `told` hears what it waits for."""
    name = _name(key, identity)
    await _ask(api, name, key, identity)
    async with aclosing(reflect(api, _REQUESTS, {"fieldSelector": f"metadata.name={name}"})) as changes:
        async for change in changes:
            found = _present(change)
            if found is None:
                await _ask(api, name, key, identity)
            elif chain := _issued(found):
                return chain
            else:
                told(_words(found))
    raise AssertionError("a reflection has no end")


def _name(key: Key, identity: Identity) -> str:
    """The same for the same key and address: a process that starts again finds its request."""
    text = f"{keypair.fingerprint(key)} {identity.node} {identity.address}"
    return f"farnode-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


async def _ask(api: KubeApi, name: str, key: Key, identity: Identity) -> None:
    body = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "signerName": "kubernetes.io/kubelet-serving",
            "usages": ["digital signature", "server auth"],
            "request": base64.b64encode(keypair.request(key, identity)).decode(),
        },
    }
    try:
        await api.create(_REQUESTS, body)
    except Conflict as error:
        if error.reason != "AlreadyExists":
            raise


def _present(change: Change) -> Json | None:
    if isinstance(change, Listed):
        return change.objects[0] if change.objects else None
    return None if isinstance(change, Gone) else change.object


def _issued(found: Json) -> list[x509.Certificate]:
    """Nothing while it waits."""
    status = found.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] in ("Denied", "Failed"):
            name, words = found["metadata"]["name"], condition.get("message") or condition.get("reason") or "no reason"
            raise Refused(f"the certificate request {name} was {condition['type'].lower()}: {words}")
    pem = base64.b64decode(status.get("certificate") or "")
    try:
        return x509.load_pem_x509_certificates(pem) if pem else []
    except ValueError as error:
        raise Refused(f"what was issued for {found['metadata']['name']} is no certificate: {error}") from error


def _words(found: Json) -> str:
    name = found["metadata"]["name"]
    if any(one["type"] == "Approved" for one in (found.get("status") or {}).get("conditions") or ()):
        return f"the certificate request {name} is approved and waits for its signer"
    return f"the certificate request {name} waits for approval: kubectl certificate approve {name}"
