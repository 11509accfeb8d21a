"""What the containers of one attempt share, and what all attempts of a runner share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Callable

from ...wire.messages import PodOrder
from ..clock import Clock
from ..limits.resources import Resources
from ..output.pipes import Readers
from ..processes.children import Children
from ..processes.leftovers import Leftovers
from ..runtime import Runtime
from ..storage.scratch import AttemptDirectories, Scratch
from ..storage.volumes import Volumes


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
    resources: Resources
    readers: Readers


@dataclass(frozen=True)
class Attempt:
    """`logs` is what the names of its logs on the spool begin with. `pids()` are the pod's processes,
    `note(kind, reason, message)` adds to its story and `changed()` says that there is a new state to announce."""

    order: PodOrder
    host: Host
    runtime: Runtime
    directories: AttemptDirectories
    volumes: Volumes
    logs: str
    pids: Callable[[], Collection[int]]
    note: Callable[[str, str, str], None]
    changed: Callable[[], None]

    @property
    def key(self) -> str:
        return f"{self.order['uid']}/{self.order['attempt']}"

    @property
    def in_memory(self) -> tuple[str, ...]:
        """Directories whose files are memory of the pod."""
        memory = [one["name"] for one in self.order.get("volumes", ()) if one.get("medium") == "Memory"]
        return (self.directories.shm, *(self.volumes[name] for name in memory if name in self.volumes))

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
