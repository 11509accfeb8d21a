"""Names of hosts that a pod's containers know beside those of the site.

Source: Kubernetes, "Adding entries to Pod /etc/hosts with HostAliases".
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from farnode.model.names import SUBDOMAIN
from farnode.model.reader import Reader


@dataclass(frozen=True, slots=True)
class HostAlias:
    ip: str
    hostnames: tuple[str, ...]


def read_alias(reader: Reader) -> HostAlias:
    ip = reader.at("ip")
    try:
        ipaddress.ip_address(ip.text())
    except ValueError:
        raise ip.invalid(f"{ip.text()!r} is not an IP address") from None
    names = tuple(SUBDOMAIN.check(name.text(), name.path) for name in reader.at("hostnames").items())
    return HostAlias(ip.text(), names)
