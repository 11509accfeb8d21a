"""The pods of this process' virtual nodes, as the kubelet API needs to see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from farnode.client.aio import AsyncClient

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """A pod, and the gateway of the site it is at. `pod` is the API server's object."""

    uid: str
    client: AsyncClient
    pod: Json


class Pods(Protocol):
    """Implemented by whoever watches the API server."""

    def find(self, namespace: str, name: str) -> Target | None:
        """The newest pod of that name."""

    def all(self) -> Iterable[Json]:
        """Every pod bound to one of the nodes."""

    def clients(self) -> Mapping[str, AsyncClient]:
        """By node name."""
