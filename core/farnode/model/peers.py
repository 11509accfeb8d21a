"""Who the members of a gang are to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peers:
    """All that began together, by rank: the names and addresses of their nodes, and their own host names. `rank` is
    that of the pod which is told. "" where a member is known no more."""

    rank: int
    hosts: tuple[str, ...]
    addresses: tuple[str, ...]
    hostnames: tuple[str, ...]

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "FARNODE_GANG_RANK": str(self.rank),
            "FARNODE_GANG_SIZE": str(len(self.hosts)),
            "FARNODE_GANG_HOSTS": ",".join(self.hosts),
            "FARNODE_GANG_ADDRESSES": ",".join(self.addresses),
        }

    @property
    def aliases(self) -> tuple[tuple[str, str], ...]:
        """The address of each pod's host name."""
        pairs = zip(self.addresses, self.hostnames, strict=True)
        return tuple((address, name) for address, name in pairs if address and name)
