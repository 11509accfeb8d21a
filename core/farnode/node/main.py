"""Puts the virtual nodes together from their configuration and runs them, one process for all.

Nothing here needs to be remembered between two runs: the API server and the sites have it all. So the process may be
killed at any time, and another one goes on where it was.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from farnode.client.aio import AsyncClient
from farnode.errors import FarnodeError
from farnode.node import tracing
from farnode.node.certificate import ServingCertificate
from farnode.node.config import Election, NodeConfig, VirtualNode, load
from farnode.node.controller import Controller
from farnode.node.directory import Directory
from farnode.node.events import Events
from farnode.node.kube.api import KubeApi
from farnode.node.kube.connection import Connection
from farnode.node.kubelet.reviews import Reviews
from farnode.node.kubelet.server import KubeletServer
from farnode.node.kubelet.settings import KubeletSettings
from farnode.node.leader import Leader
from farnode.node.metrics import render
from farnode.node.presence.keeper import Endpoint, Presence
from farnode.node.presence.settings import NodeSettings
from farnode.node.site import SiteLink

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds for which a call of a gateway is repeated before whoever needs it is told."""


def serve(config_path: Path, address: str | None = None) -> None:
    """Run until SIGTERM or SIGINT; pods go on without their node's process for as long as they tolerate it."""
    gc.set_threshold(50_000, 20, 100)  # next to nothing here is cyclic garbage
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(_serve(load(config_path, address)))


async def _serve(config: NodeConfig) -> None:
    work = asyncio.create_task(_run(config))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        log.info("stopped; the pods go on")
    except ExceptionGroup as errors:
        known = errors.subgroup(FarnodeError)
        raise (_first(known) if known is not None else errors) from None


def _first(error: Exception) -> Exception:
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error


async def _run(config: NodeConfig) -> None:
    """The kubelet API is served by those that do not lead, too: probes see that they live, and their certificates are
    there when they take over."""
    connection = Connection(config.kubernetes.kubeconfig, config.kubernetes.context)
    controllers: dict[str, Controller] = {}
    async with KubeApi(connection) as api, asyncio.TaskGroup() as tasks:
        first, address = config.nodes[0].name, config.kubelet.address
        certificate = ServingCertificate(api, first, address, config.state, time.time)
        events = Events(api, "farnode", time.time)
        server = _server(config, api, certificate, events, controllers)
        for running in (certificate.run(), events.run(), server.serve()):
            tasks.create_task(running)
        async with _leading(api, config.election) as mine, AsyncExitStack() as stack, asyncio.TaskGroup() as acting:
            await _nodes(config, mine, certificate, events, stack, controllers)
            for controller in controllers.values():
                acting.create_task(controller.run())
            log.info("virtual nodes %s: kubelet API at %s", ", ".join(controllers), address)


@asynccontextmanager
async def _leading(api: KubeApi, election: Election | None) -> AsyncIterator[KubeApi]:
    """Entered when this process may act, by the KubeApi it gives; who is inside is cancelled when it may no longer."""
    if election is None:
        yield api
        return
    leader = Leader(api, election.namespace, election.name)
    await leader.acquire()
    try:
        async with asyncio.TaskGroup() as tasks:
            holding = tasks.create_task(leader.hold())
            yield api.guarded(leader.check)
            holding.cancel()
    finally:
        await leader.release()


async def _nodes(
    config: NodeConfig,
    api: KubeApi,
    certificate: ServingCertificate,
    events: Events,
    stack: AsyncExitStack,
    controllers: dict[str, Controller],
) -> None:
    """Fills `controllers` in, by node name."""
    for port, node in enumerate(config.nodes, config.kubelet.listen.port):
        site = node.site.site(node.name)
        client = await stack.enter_async_context(AsyncClient(site, patience=PATIENCE))
        visitors = await stack.enter_async_context(AsyncClient(site, patience=PATIENCE))
        presence = Presence(api, _settings(node), Endpoint(config.kubelet.address, port), time.time)
        certificate.tell(presence.note_certificate)
        absence = int(node.tolerate_absence)
        if (traces := tracing.configured(node.name)) is not None:
            stack.callback(traces.close)
        controllers[node.name] = Controller(
            api, SiteLink(client, api.check, visitors), presence, events, node.name, absence, traces
        )


def _server(
    config: NodeConfig,
    api: KubeApi,
    certificate: ServingCertificate,
    events: Events,
    controllers: Mapping[str, Controller],
) -> KubeletServer:
    names = tuple(node.name for node in config.nodes)

    def metrics() -> str:
        return render(controllers.values(), api.calls, events.dropped, len(server.streams))

    server = KubeletServer(
        Directory(controllers),
        KubeletSettings(
            host=config.kubelet.listen.host,
            port=config.kubelet.listen.port,
            nodes=names,
            client_ca=config.kubelet.client_ca_file,
            anonymous=config.kubelet.anonymous,
        ),
        certificate.context,
        metrics,
        Reviews(api, names[0]),
    )
    return server


def _settings(node: VirtualNode) -> NodeSettings:
    return NodeSettings(
        name=node.name,
        queue_depth=node.queue_depth,
        pods=node.pods,
        labels=node.labels,
        taints=node.taints,
        zone=node.zone,
        offers=node.offers,
    )
