"""KubeletServer: the routes over TLS.

aiohttp serves them: of what was tried it alone speaks HTTP/1.1, WebSockets with any subprotocol and, by a second
protocol on the same connection, SPDY/3.1 on one port. A handler is cancelled when its client's connection is lost.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Mapping

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from farnode.errors import FarnodeError, Invalid
from farnode.node.kubelet import requests
from farnode.node.kubelet.access import Access, Reviewer, trust
from farnode.node.kubelet.command import Commands
from farnode.node.kubelet.logs import ContainerLogs
from farnode.node.kubelet.pods import Pods
from farnode.node.kubelet.port_forward import PortForwards
from farnode.node.kubelet.settings import KubeletSettings
from farnode.node.kubelet.streams import Streams
from farnode.node.kubelet.summary import resource_metrics, summary
from farnode.node.kubelet.usage import Usage

log = logging.getLogger(__name__)

_LINE = 2**20
"""Bytes of the request line, which holds a command, and of a header: Go's limit for both."""
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
_TEXT = "text/plain; version=0.0.4"


class KubeletServer:
    """`metrics` gives the process' own, in Prometheus' text format."""

    def __init__(
        self,
        pods: Pods,
        settings: KubeletSettings,
        tls: ssl.SSLContext,
        metrics: Callable[[], str],
        reviewer: Reviewer | None = None,
    ) -> None:
        self.ports: Mapping[str, int] = {}
        """By node, once `listening` is set."""
        self.listening = asyncio.Event()
        self.streams = Streams(settings.streams)
        self._settings = settings
        self._tls = tls
        self._pods = pods
        self._metrics = metrics
        self._usage = Usage(pods, settings.nodes)
        self._access = Access(settings.anonymous, reviewer)
        trust(tls, settings)

    @property
    def port(self) -> int:
        """Of the first node."""
        return self.ports[self._settings.nodes[0]]

    async def serve(self) -> None:
        """Until cancelled; then clients of streams are told that these end."""
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=1.0,
            max_line_size=_LINE,
            max_field_size=_LINE,
        )
        await runner.setup()
        try:
            await self._listen(runner)
            await self._follow_authority()
        finally:
            await self.streams.close()
            await runner.cleanup()

    async def _follow_authority(self) -> None:
        """Whom the callers' authority has joined to its file since is trusted, too. Whom it took out is until the next
        process: OpenSSL forgets nobody."""
        while True:
            await asyncio.sleep(self._settings.authority_every)
            try:
                trust(self._tls, self._settings)
            except Invalid as error:
                log.warning("%s", error)

    async def _listen(self, runner: web.AppRunner) -> None:
        ports = {}
        for index, node in enumerate(self._settings.nodes):
            wanted = self._settings.port and self._settings.port + index
            listener = _listener(self._settings.host, wanted)
            await web.SockSite(runner, listener, ssl_context=self._tls).start()
            ports[node] = listener.getsockname()[1]
        self.ports = ports
        self.listening.set()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._access.check, _errors])
        commands, logs = Commands(self._pods, self.streams), ContainerLogs(self._pods, self.streams)
        ports = PortForwards(self._pods, self.streams)
        route = application.router.add_route
        route("GET", "/containerLogs/{namespace}/{pod}/{container}", logs.read)
        for method in ("GET", "POST"):
            for name, handler in (("exec", commands.exec), ("attach", commands.attach)):
                route(method, f"/{name}/{{namespace}}/{{pod}}/{{container}}", handler)
                route(method, f"/{name}/{{namespace}}/{{pod}}/{{uid}}/{{container}}", handler)
            route(method, "/portForward/{namespace}/{pod}", ports.forward)
            route(method, "/portForward/{namespace}/{pod}/{uid}", ports.forward)
        route("*", "/run/{path:.*}", _refused)
        route("GET", "/pods", self._list)
        route("GET", "/stats/summary", self._summary)
        route("GET", "/metrics/resource", self._resource)
        route("GET", "/metrics", self._own_metrics)
        route("GET", "/healthz", _healthy)
        return application

    async def _list(self, request: web.Request) -> web.Response:
        node = self._node(request)
        mine = (pod for pod in self._pods.all() if pod["spec"].get("nodeName") == node)
        items = [{"apiVersion": "v1", "kind": "Pod", **pod} for pod in mine]
        document = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
        return web.Response(body=orjson.dumps(document), content_type="application/json")

    async def _summary(self, request: web.Request) -> web.Response:
        node = self._node(request)
        document = summary(node, await self._usage.of(node))
        return web.Response(body=orjson.dumps(document), content_type="application/json")

    async def _resource(self, request: web.Request) -> web.Response:
        try:
            sample = await self._usage.of(self._node(request))
        except FarnodeError as error:
            log.warning("no metrics of pods: %s", error)
            sample = None
        return web.Response(text=resource_metrics(sample), headers={"Content-Type": _TEXT})

    async def _own_metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=self._metrics(), headers={"Content-Type": _TEXT})

    def _node(self, request: web.Request) -> str:
        """The one whose port was asked."""
        assert request.transport is not None
        port = request.transport.get_extra_info("sockname")[1]
        return next(node for node, its in self.ports.items() if its == port)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except FarnodeError as error:
        return requests.failure(error)
    except ConnectionError:
        return web.Response(status=503, text="the client has gone")  # which reaches nobody


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _refused(_: web.Request) -> web.Response:
    return web.Response(status=405, text="commands are run by exec; /run is not served")


def _listener(host: str, port: int) -> socket.socket:
    """Connections inherit that dead peers are noticed. Invalid where nobody can listen."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise Invalid("kubelet.listen", f"cannot listen at {host}:{port}: {error.strerror or error}") from error
    return listener
