"""The serving certificate of the kubelet API: asked of the cluster, never approved by us.

Kubernetes, "Certificates and Certificate Signing Requests", signer kubernetes.io/kubelet-serving: somebody approves the
request (an administrator, or an approver who checks the address), the controller manager issues the certificate. API
servers that do not verify kubelets are content with a self-signed one, which is shown meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import ssl
from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from farnode.client.patience import Patience, Trial
from farnode.errors import FarnodeError, Invalid, Transient
from farnode.node import keypair
from farnode.node.keypair import Identity, Key
from farnode.node.kube.api import KubeApi
from farnode.node.signing import Refused, signed

_AGAIN = 900.0
"""Seconds until another request follows one that was denied or that failed."""
_LOOK = 3600.0
"""Seconds of one sleep at most: the machine's own may take the clock along."""
_PAUSES = Patience(total=math.inf, first=1.0, most=60.0)
_log = logging.getLogger(__name__)


class ServingCertificate:
    """`context` shows the newest certificate to each new connection; it is the same object all the time. `waiting`:
    what the certificate waits for, in words, "" when the cluster's own is shown. Invalid when `directory` cannot be
    written. `clock` gives seconds since the epoch."""

    def __init__(self, api: KubeApi, node: str, address: str, directory: Path, clock: Callable[[], float]) -> None:
        self.context = _context()
        self.waiting = ""
        self._api = api
        self._identity = Identity(node, address)
        self._clock = clock
        self._listeners: list[Callable[[str], None]] = []
        self._issued_file = directory / "kubelet.pem"
        self._request_file = directory / "kubelet-request.pem"
        try:
            directory.mkdir(0o700, parents=True, exist_ok=True)
            self._issued = self._restore()
        except OSError as error:
            raise Invalid("state", f"{directory} cannot be used: {error.strerror}") from error
        if self._issued is None:
            self.waiting = "the certificate was not asked for yet"

    def tell(self, listener: Callable[[str], None]) -> None:
        """It is told `waiting`, now and whenever that changes."""
        self._listeners.append(listener)
        listener(self.waiting)

    async def run(self) -> None:
        """Asks for a certificate when there is none, and for the next one when 70 to 90 % of its life are over."""
        trial = Trial(_PAUSES)
        while True:
            await self._sleep_until(self._renewal())
            try:
                await self._obtain()
                trial.succeeded()
            except Refused as refused:
                self._wait_for(str(refused))
                await asyncio.sleep(_AGAIN)
            except (FarnodeError, OSError) as error:
                self._wait_for(f"the certificate cannot be asked for: {error}")
                await trial.pause(error if isinstance(error, Transient) else Transient(str(error)))

    def _restore(self) -> x509.Certificate | None:
        """What was issued before is shown again; else a self-signed one."""
        key, chain = keypair.read(self._issued_file) or (None, [])
        if key and keypair.belongs(chain, key) and self._serves(chain[0]):
            self.context.load_cert_chain(self._issued_file)
            return chain[0]
        key = keypair.new_key()
        self._show(self._issued_file.with_name("self-signed.pem"), key, self._self_signed(key))
        return None

    def _self_signed(self, key: Key) -> list[x509.Certificate]:
        return [keypair.self_signed(key, self._identity, self._clock())]

    def _serves(self, certificate: x509.Certificate) -> bool:
        return self._identity.owns(certificate) and self._clock() < keypair.part_of_life(certificate, 1.0)

    def _show(self, path: Path, key: Key, chain: list[x509.Certificate]) -> None:
        keypair.write(path, key, chain)
        self.context.load_cert_chain(path)

    def _renewal(self) -> float:
        if self._issued is None:
            return 0.0
        return keypair.part_of_life(self._issued, random.uniform(0.7, 0.9))  # noqa: S311 - so that not all come at once

    async def _sleep_until(self, at: float) -> None:
        while (left := at - self._clock()) > 0:
            await asyncio.sleep(min(left, _LOOK))

    async def _obtain(self) -> None:
        key = self._request_key()
        try:
            chain = await signed(self._api, key, self._identity, self._wait_for)
            if not keypair.belongs(chain, key) or not self._serves(chain[0]):
                raise Refused("the certificate that was issued is not the one asked for, or is over already")
            self._show(self._issued_file, key, chain)
        except Refused:
            self._request_file.unlink(missing_ok=True)
            raise
        self._request_file.unlink(missing_ok=True)
        self._issued = chain[0]
        self._wait_for("")
        _log.info("the kubelet API shows a certificate valid until %s", chain[0].not_valid_after_utc)

    def _request_key(self) -> Key:
        """The same one until there is a certificate for it: who approves finds one request, not one of each start."""
        found = keypair.read(self._request_file)
        if found:
            return found[0]
        key = keypair.new_key()
        keypair.write(self._request_file, key)
        return key

    def _wait_for(self, words: str) -> None:
        if words == self.waiting:
            return
        if words:
            _log.warning("%s", words)
        self.waiting = words
        for listener in self._listeners:
            listener(words)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
