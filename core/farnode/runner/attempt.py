"""What the containers of one attempt share, and what all attempts of a runner share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable

from ..wire.messages import PodOrder
from .children import Children
from .clock import Clock
from .leftovers import Leftovers
from .runtime import Runtime
from .scratch import AttemptDirectories, Scratch


@dataclass(frozen=True)
class Host:
    """This node of the allocation. `spool` is the allocation's directory, `address` what others reach us by."""

    spool: str
    nonce: str
    name: str
    address: str
    scratch: Scratch
    runtimes: Mapping[str, Runtime]
    children: Children
    leftovers: Leftovers
    clock: Clock


@dataclass(frozen=True)
class Attempt:
    """`logs` is what the names of its logs on the spool begin with. `note(kind, reason, message)` adds to the pod's
    story and `changed()` says that there is a new state to announce."""

    order: PodOrder
    host: Host
    runtime: Runtime
    directories: AttemptDirectories
    volumes: Mapping[str, str]
    logs: str
    note: Callable[[str, str, str], None]
    changed: Callable[[], None]

    @property
    def key(self) -> str:
        return f"{self.order['uid']}/{self.order['attempt']}"

    @property
    def title(self) -> str:
        """The pod as the kubelet's messages name it."""
        return f"{self.order.get('name', '')}_{self.order.get('namespace', '')}({self.order['uid']})"

    @property
    def fields(self) -> dict[str, str]:
        """What only the node knows of the downward API."""
        address = self.host.address
        return {
            "status.hostIP": address,
            "status.hostIPs": address,
            "status.podIP": address,
            "status.podIPs": address,
            "spec.nodeName": self.order.get("node_name", ""),
        }
