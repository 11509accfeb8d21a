"""What each component is started with. Pure.

All share one serving certificate and ports of the loopback interface; the flags are those a cluster made by kubeadm
has, with the Node authorizer and NodeRestriction, so that what a node may do there it may do here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ETCD, APISERVER, CONTROLLERS, SCHEDULER = "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"
COMPONENTS = (ETCD, APISERVER, CONTROLLERS, SCHEDULER)
PEERS = "etcd-peers"
SERVICES = "10.96.0.0/16"
SERVER_NAMES = (
    *("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"),
    *("localhost", "127.0.0.1", "10.96.0.1"),
)
ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Settings:
    """`verify_kubelets`: the API server takes only kubelets whose certificate the cluster's authority issued.
    `options` are more arguments of the API server, `controllers` of the controller manager."""

    feature_gates: Mapping[str, bool] = field(default_factory=dict)
    verify_kubelets: bool = False
    options: Sequence[str] = ()
    controllers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Arguments:
    """`ports` by component, and that of etcd's peers; `directory` has certificates, keys and kubeconfig files."""

    directory: Path
    ports: Mapping[str, int]
    settings: Settings

    def of(self, component: str) -> list[str]:
        return {
            ETCD: self._etcd,
            APISERVER: self._apiserver,
            CONTROLLERS: self._controllers,
            SCHEDULER: self._scheduler,
        }[component]()

    def health(self, component: str) -> str:
        """A URL that answers 200 once the component does its work."""
        scheme, path = {ETCD: ("http", "health"), CONTROLLERS: ("https", "healthz")}.get(component, ("https", "readyz"))
        return f"{scheme}://127.0.0.1:{self.ports[component]}/{path}"

    def _etcd(self) -> list[str]:
        clients, peers = (f"http://127.0.0.1:{self.ports[name]}" for name in (ETCD, PEERS))
        return [
            *("--name=testbed", f"--data-dir={self._file('etcd')}", "--unsafe-no-fsync", "--socket-reuse-port"),
            *(f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}", f"--listen-peer-urls={peers}"),
            *(f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=testbed={peers}", "--log-level=warn"),
        ]

    def _apiserver(self) -> list[str]:
        gates = ",".join(f"{name}={str(on).lower()}" for name, on in self.settings.feature_gates.items())
        return [
            f"--etcd-servers=http://127.0.0.1:{self.ports[ETCD]}",
            *self._serving(APISERVER),
            # A loopback address cannot be an endpoint of the Service `kubernetes`.
            *("--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"),
            *(f"--service-cluster-ip-range={SERVICES}", "--allow-privileged=true"),
            *(
                f"--requestheader-client-ca-file={self._file('ca.crt')}",
                "--requestheader-allowed-names=front-proxy-client",
            ),
            *("--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group"),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            *(f"--client-ca-file={self._file('ca.crt')}", "--authorization-mode=Node,RBAC"),
            "--enable-admission-plugins=NodeRestriction",
            *(f"--service-account-issuer={ISSUER}", f"--service-account-key-file={self._file('sa.pub')}"),
            f"--service-account-signing-key-file={self._file('sa.key')}",
            f"--kubelet-client-certificate={self._file('kubelet-client.crt')}",
            f"--kubelet-client-key={self._file('kubelet-client.key')}",
            "--kubelet-preferred-address-types=InternalIP",
            *([f"--kubelet-certificate-authority={self._file('ca.crt')}"] if self.settings.verify_kubelets else []),
            *([f"--feature-gates={gates}"] if gates else []),
            *self.settings.options,
        ]

    def _controllers(self) -> list[str]:
        return [
            *self._client(CONTROLLERS),
            *("--use-service-account-credentials", f"--service-account-private-key-file={self._file('sa.key')}"),
            *(f"--root-ca-file={self._file('ca.crt')}", f"--cluster-signing-cert-file={self._file('ca.crt')}"),
            f"--cluster-signing-key-file={self._file('ca.key')}",
            *self.settings.controllers,
        ]

    def _scheduler(self) -> list[str]:
        return self._client(SCHEDULER)

    def _client(self, name: str) -> list[str]:
        own = self._file(f"system-{name}.kubeconfig")
        return [
            *(f"--kubeconfig={own}", f"--authentication-kubeconfig={own}", f"--authorization-kubeconfig={own}"),
            *self._serving(name),
            "--leader-elect=false",
        ]

    def _serving(self, name: str) -> list[str]:
        return [
            *("--bind-address=127.0.0.1", f"--secure-port={self.ports[name]}", "--permit-port-sharing"),
            *(f"--tls-cert-file={self._file('serving.crt')}", f"--tls-private-key-file={self._file('serving.key')}"),
        ]

    def _file(self, name: str) -> str:
        return str(self.directory / name)
