"""The ports that pods claim on this node, each of which one pod has at a time.

A claim is an abstract unix socket. It lies in the node's network namespace, where the port itself would be, so runners
of other allocations see it, whosever they are; and it goes with the runner, however that ends.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

REASON = "NodePorts"
MESSAGE = "Pod was rejected: Node didn't have enough free ports for the requested pod ports"
"""Both in the kubelet's words."""


class PortsTaken(ValueError):
    pass


class Claims:
    """Raises PortsTaken, and claims nothing, where another pod of this node has one of the ports."""

    def __init__(self, ports: Iterable[int]) -> None:
        self._sockets: list[socket.socket] = []
        for port in ports:
            claim = socket.socket(socket.AF_UNIX)
            self._sockets.append(claim)
            try:
                claim.bind(f"\0farnode/port/{int(port)}")
            except OSError:
                self.release()
                raise PortsTaken(MESSAGE) from None

    def release(self) -> None:
        while self._sockets:
            self._sockets.pop().close()
