"""The pods of all virtual nodes of this process, as the kubelet API asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from farnode.client.aio import AsyncClient
from farnode.node.controller import Controller
from farnode.node.kubelet.pods import Target

Json = dict[str, Any]


class Directory:
    """`kubelet.pods.Pods`, over the controllers by node name."""

    def __init__(self, controllers: Mapping[str, Controller]) -> None:
        self._controllers = controllers

    def find(self, namespace: str, name: str) -> Target | None:
        for controller in self._controllers.values():
            if (pod := controller.mirror.find(namespace, name)) is not None:
                return Target(pod["metadata"]["uid"], controller.link.visitors, pod)
        return None

    def all(self) -> Iterator[Json]:
        for controller in self._controllers.values():
            yield from controller.mirror.pods()

    def clients(self) -> Mapping[str, AsyncClient]:
        return {name: controller.link.visitors for name, controller in self._controllers.items()}
