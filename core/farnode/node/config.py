"""The node's configuration: one YAML file.

kubelet: {clientCaFile: kubelet-client-ca.crt}
nodes:
  - name: vega
    site: {url: "https://login.example.org:8443", tokenFile: vega.token, fingerprint: "3f:9a:…"}
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from farnode.client.site import Site
from farnode.config import part
from farnode.config.part import Part
from farnode.config.values import AbsolutePath, Address, Duration, HostPort
from farnode.errors import Invalid


class Kubernetes(Part):
    """The API server. Nothing is needed in a pod of the cluster, nor where $KUBECONFIG is set."""

    kubeconfig: AbsolutePath | None = None
    """Instead of a pod's own service account, $KUBECONFIG and ~/.kube/config."""
    context: str | None = None
    """Of the kubeconfig, instead of its current one."""


class Kubelet(Part):
    """The API by which the API server asks for logs, exec and the like."""

    listen: Address = HostPort("0.0.0.0", 10250)  # noqa: S104
    """Of the first node; each further one has the next port. 10250 is the kubelet's own, which firewalls between API
    server and nodes let through."""
    address: str = Field(default_factory=lambda: _own_address(), min_length=1)
    """The IP address or host name at which the API server reaches it."""
    client_ca_file: AbsolutePath | None = None
    """Certificates (PEM) of the authority that signed the API server's client certificate."""
    anonymous: bool = False
    """Whether callers are served that show no certificate: whoever reaches the port may then exec into pods."""

    @model_validator(mode="after")
    def _guarded(self) -> Kubelet:
        if self.client_ca_file is None and not self.anonymous:
            raise ValueError(
                "clientCaFile is missing: without it nobody could be told from the API server; "
                "anonymous: true serves everybody, for a port that nobody else can reach"
            )
        return self


class SiteAccess(Part):
    """A gateway, and how this cluster proves who it is."""

    url: str
    """`unix:/path.sock` or `https://host:port`."""
    token_file: AbsolutePath | None = None
    """A token of role cluster, mode 0600."""
    fingerprint: str | None = None
    """SHA-256 of the gateway's certificate."""
    ca_file: AbsolutePath | None = None
    """Or certificates (PEM) to verify it with."""

    @model_validator(mode="after")
    def _usable(self) -> SiteAccess:
        try:
            site = self.site("site")
            if site.socket is None:
                site.address()
        except Invalid as error:
            raise ValueError(str(error)) from error
        return self

    def site(self, name: str) -> Site:
        return Site(name, self.url, self.token_file, self.fingerprint, self.ca_file)


class VirtualNode(Part):
    """One node of the cluster."""

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
    """Of the Node object: a DNS subdomain."""
    site: SiteAccess
    offers: tuple[str, ...] = ()
    """The site's offers or partitions that this node stands for; all of them where nothing is said."""
    queue_depth: float = Field(default=1.0, gt=0)
    """How many times the account's real limits are shown as allocatable: with 2, as much may wait as runs."""
    pods: int = Field(default=1000, ge=1)
    """Of this node at most; the cluster's scheduler keeps to it."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Beside those that say what the site has."""
    taints: tuple[Mapping[str, Any], ...] | None = None
    """v1.Taint objects, instead of the one that keeps pods away that do not tolerate a virtual node."""
    zone: str | None = None
    """The label topology.kubernetes.io/zone."""
    tolerate_absence: Duration = Field(default=7 * 86400.0, ge=0)
    """How long pods stay bound while no node process renews the Lease: they run at the site all the while."""


class Election(Part):
    """Of several processes with this configuration one acts; the others take over when it is gone."""

    namespace: str = Field(min_length=1)
    """Where the Lease is by which they agree."""
    name: str = "farnode-node"


class NodeConfig(Part):
    """One process with its virtual nodes. Only `nodes`, and `kubelet` in part, must be given."""

    kubernetes: Kubernetes = Kubernetes()
    kubelet: Kubelet
    state: AbsolutePath = Field(default_factory=lambda: Path("~/.local/state/farnode-node").expanduser())
    """The kubelet API's key and certificate; a node without them asks for new ones."""
    election: Election | None = None
    """Not needed for one process."""
    nodes: tuple[VirtualNode, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names(self) -> NodeConfig:
        names = [node.name for node in self.nodes]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two nodes are named {twice}")
        return self


def load(path: Path, address: str | None = None) -> NodeConfig:
    """Read the file; Invalid names it, the key, what is wrong and what is accepted. `address` instead of the kubelet's
    there: a pod knows its own only when it runs."""
    config = part.load(NodeConfig, path, "`kubelet: {…}` and `nodes: [{name: NAME, site: {url: …}}]`")
    if address is None:
        return config
    return config.model_copy(update={"kubelet": config.kubelet.model_copy(update={"address": address})})


def _own_address() -> str:
    """Of the interface that leads out; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
