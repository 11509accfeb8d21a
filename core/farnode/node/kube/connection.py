"""Where the API server is and who we are there: a kubeconfig, or the service account of the pod this runs in.

The library is kubernetes_asyncio's `config`; the calls themselves are ours (api.py). Measured on Python 3.11 beside
what the node imports anyway (aiohttp, ssl, orjson, cryptography: 44 MiB), CPU and resident memory of the import:

    kubernetes_asyncio 36.1   0.19 s   +37 MiB   everything below
    kr8s 0.20                 0.10 s    +9 MiB   no expiry of plugins' tokens, no tokenFile; leaves a file of each
                                                 client key in the temporary directory; KubeAuth is private
    lightkube 1.0             0.04 s    +6 MiB   refuses exec plugins of client.authentication.k8s.io/v1, and
                                                 certificates from plugins; one file in KUBECONFIG; httpx's Auth only

The larger one was taken, for what it costs is paid once a process and does not grow with pods, and it alone reads all
that kubectl reads: several files in KUBECONFIG, contexts, exec plugins with expiring tokens or certificates, OIDC,
token files, client certificates, tls-server-name, proxy-url, and the rotated token of a service account.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import getproxies, proxy_bypass

import yaml
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import ConfigException, kube_config, load_kube_config
from kubernetes_asyncio.config.incluster_config import InClusterConfigLoader
from yarl import URL

from farnode.errors import Invalid

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_FRESH = 60.0
"""Seconds for which files are not read again: a token is replaced long before it expires."""
_EARLY = 300.0
"""Seconds before its token expires that a plugin is asked for another, as the library does."""
_BROKEN = (
    ConfigException,
    yaml.YAMLError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
)
"""What the library raises where a kubeconfig is not what it should be."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Access:
    """What a request needs. `tls` is None of `http://`, and the same object for as long as `keys`, a digest of the
    certificates and the client's key, is the same. `until`: seconds since the epoch."""

    url: str
    tls: ssl.SSLContext | None
    keys: bytes
    server_name: str | None
    proxy: str | None
    authorization: str | None
    until: float


class Connection:
    """`kubeconfig` None: the files that KUBECONFIG names, else the service account of the pod this runs in, else
    ~/.kube/config. Nothing is read before the first `access`."""

    def __init__(
        self,
        kubeconfig: Path | None = None,
        context: str | None = None,
        *,
        service_account: Path = SERVICE_ACCOUNT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._service_account = service_account
        self._clock = clock
        self._lock = asyncio.Lock()
        self._held: Access | None = None

    async def access(self) -> Access:
        """As configured, read again where a token or certificate may have been replaced. Invalid when it cannot be read
        the first time; later, what was read before stays in force."""
        held = self._held
        if held and self._clock() < held.until:
            return held
        async with self._lock:
            return await self._load() if self._held is held else await self._newest()

    async def renew(self, refused: Access) -> Access:
        """All of it read again, plugins asked again: the API server does not know who `refused` is (401)."""
        async with self._lock:
            return await self._load() if self._held is refused else await self._newest()

    async def _newest(self) -> Access:
        return self._held or await self._load()

    async def _load(self) -> Access:
        try:
            self._held = await self._read()
        except Invalid as error:
            if not self._held:
                raise
            _log.warning("what was read before stays in force: %s", error)
            self._held = replace(self._held, until=self._clock() + _FRESH)
        return self._held

    async def _read(self) -> Access:
        """Keys that a kubeconfig contains are in files only while they are loaded: OpenSSL takes nothing else."""
        configuration = Configuration()
        with TemporaryDirectory(prefix="farnode-") as scratch:
            try:
                until = await self._configure(configuration, scratch)
                return self._as_access(configuration, until)
            except _BROKEN as error:
                raise Invalid(self._source(), str(error) or "is incomplete") from error
            finally:
                kube_config._cleanup_temp_files()  # the library remembers files, which go with the directory

    async def _configure(self, configuration: Configuration, scratch: str) -> float:
        """Fills the configuration in; until when it holds."""
        if self._in_cluster():
            account = self._service_account
            loader = InClusterConfigLoader(str(account / "token"), str(account / "ca.crt"), try_refresh_token=False)
            loader.load_and_set(configuration)
            return self._clock() + _FRESH
        kubeconfig = await load_kube_config(self._path(), self._context, configuration, temp_file_path=scratch)
        if "exec" not in (kubeconfig._user or ()):
            return self._clock() + _FRESH
        expiry = getattr(kubeconfig, "exec_plugin_expiry", None)
        return max(expiry.timestamp() - _EARLY, self._clock() + _FRESH) if expiry else float("inf")

    def _in_cluster(self) -> bool:
        named = self._kubeconfig or os.environ.get("KUBECONFIG")
        return not named and "KUBERNETES_SERVICE_HOST" in os.environ

    def _source(self) -> str:
        return f"service account {self._service_account}" if self._in_cluster() else f"kubeconfig {self._path()}"

    def _path(self) -> str:
        return str(self._kubeconfig or os.environ.get("KUBECONFIG") or Path("~/.kube/config").expanduser())

    def _as_access(self, found: Configuration, until: float) -> Access:
        keys = _digest(found)
        held = self._held
        return Access(
            url=str(found.host).rstrip("/"),
            tls=held.tls if held and held.keys == keys else _tls(found),
            keys=keys,
            server_name=found.tls_server_name,
            proxy=found.proxy or _proxy(found),
            authorization=(found.api_key.get("BearerToken") or "").strip() or None,
            until=until,
        )


def _digest(found: Configuration) -> bytes:
    digest = hashlib.sha256(f"{found.host}\0{found.verify_ssl}\0".encode())
    for path in (found.ssl_ca_cert, found.cert_file, found.key_file):
        digest.update(hashlib.sha256(Path(path).read_bytes() if path else b"").digest())
    return digest.digest()


def _proxy(found: Configuration) -> str | None:
    """From the environment, as kubectl takes it; never for what is on this machine."""
    url = URL(str(found.host))
    local = url.host in ("localhost", "::1") or str(url.host).startswith("127.")
    return None if local or proxy_bypass(str(url.host)) else getproxies().get(url.scheme)


def _tls(found: Configuration) -> ssl.SSLContext | None:
    if not str(found.host).startswith("https:"):
        return None
    context = ssl.create_default_context(cafile=found.ssl_ca_cert)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # many clusters' authorities lack key identifiers
    if not found.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if found.cert_file:
        context.load_cert_chain(found.cert_file, found.key_file)
    return context
