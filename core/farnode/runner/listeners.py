"""Which address a process of a pod listens at.

Pods use their node's own network, which others use too: nobody but the pod's own processes is ever connected to.
"""

from __future__ import annotations

from collections.abc import Collection


def address_of(port: int, pids: Collection[int]) -> str | None:
    """The loopback address (127.0.0.1, ::1) or interface address at which one of these processes listens on a TCP
    port; None where none does."""
    raise NotImplementedError
