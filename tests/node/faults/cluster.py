"""A cluster whose parts are there to be broken: control plane, embedded site, one or more node processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from farnode import AsyncClient, Pod, Site
from tests.faults.sites import Faulty
from tests.faults.testimony import pod
from tests.node.faults.administrator import Administrator
from tests.node.faults.link import Link
from tests.node.kubectl import Kubectl
from tests.node.stack import NODE, NodeProcess
from tests.sites.site import wait_until
from tests.testbed.kubernetes import ControlPlane

Json = dict[str, Any]
READY = CLEARED = 60.0


@dataclass(frozen=True, slots=True)
class Terms:
    """`options` of the API server and `controllers` of the controller manager; `site`: merged over the gateway's
    configuration; `node`: over the nodes'; `replicas`: how many of these there are; `linked`: they reach the site by
    `Cluster.link`."""

    options: Sequence[str] = ()
    controllers: Sequence[str] = ()
    site: Mapping[str, Any] = field(default_factory=dict)
    node: Mapping[str, Any] = field(default_factory=dict)
    replicas: int = 1
    linked: bool = False


class Cluster:
    """A context manager: when it is left nothing of it lives, and no process had anything to complain of."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._open = ExitStack()

    def __enter__(self) -> Self:
        terms = self._terms
        with ExitStack() as opening:
            plane = ControlPlane(options=terms.options, controllers=terms.controllers)
            self.plane = opening.enter_context(plane)
            self.site = opening.enter_context(Faulty(terms.site))
            link = Link(self.site.directory / "link.sock", Path(self.site.url.removeprefix("unix:")))
            self.link = opening.enter_context(link)
            self.kubectl = Kubectl(self.plane, "default")
            self.administrator = opening.enter_context(Administrator(self.plane.kubeconfig))
            self.nodes = [self._replica(f"node-{number}") for number in range(terms.replicas)]
            opening.callback(self._end_nodes)
            for node in self.nodes:
                node.start()
            wait_until(self._is_ready, f"the node is Ready:\n{self.nodes[0].said()}", READY)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _replica(self, name: str) -> NodeProcess:
        settings = dict(self._terms.node)
        if self._terms.linked:
            access = {"url": self.link.url, "tokenFile": str(self.site.directory / name / "token")}
            settings["nodes"] = [{"name": NODE, "site": access, "taints": []}]
        return NodeProcess(self.plane, self.site, self.plane.kubeconfig, settings, name)

    def _is_ready(self) -> bool:
        return all(node.lives() for node in self.nodes) and self.condition("Ready") == "True"

    def _end_nodes(self) -> None:
        for node in self.nodes:
            if node.is_running:
                node.stop()
            with suppress(FileNotFoundError):
                assert "Traceback" not in node.log.read_text(), node.said()

    # ---- what the API server says ----------------------------------------------------------------------------------

    def node(self) -> Json:
        """The Node object; {} while there is none."""
        said = self.kubectl("get", "node", NODE, "--ignore-not-found", "-o", "json").stdout
        found: Json = json.loads(said) if said else {}
        return found

    def condition(self, kind: str) -> str:
        conditions = self.node().get("status", {}).get("conditions", ())
        return next((str(one["status"]) for one in conditions if one["type"] == kind), "")

    def taints(self) -> set[tuple[str, str]]:
        """Keys and effects."""
        return {(one["key"], one["effect"]) for one in self.node().get("spec", {}).get("taints", ())}

    def phases(self) -> set[str]:
        """Of all pods."""
        return {pod["status"]["phase"] for pod in self.administrator.pods().values()}

    def clear(self) -> None:
        """Deletes all pods; both sides forget them."""
        self.administrator.delete(self.administrator.pods().values())
        wait_until(lambda: not self.administrator.pods(), "the API server has no pod", CLEARED)
        wait_until(lambda: not self.at_site(), "the site has no pod", CLEARED)

    # ---- what the site says ----------------------------------------------------------------------------------------

    def at_site(self) -> dict[str, Pod]:
        """All of the cluster's pods there, by uid."""
        token = self.nodes[0].directory / "token"

        async def ask() -> list[Pod]:
            async with AsyncClient(Site("site", self.site.url, token)) as client:
                return await client.pods()

        return {pod.uid: pod for pod in asyncio.run(ask())}


def plain(name: str, script: str, policy: str = "Never", **spec: Any) -> Json:
    """A pod without a token's volume: it shares this machine's /tmp."""
    return pod(name, script, policy, automountServiceAccountToken=False, **spec)
