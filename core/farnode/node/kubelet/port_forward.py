"""The route of port-forward: SPDY/3.1, the same in a WebSocket tunnel, and the channels of Python's client."""

from __future__ import annotations

from aiohttp import web

from farnode.node.kubelet import native_forward, requests, spdy_forward, websocket_peer
from farnode.node.kubelet.forwarding import Ports
from farnode.node.kubelet.pipes import Tunnel, upgraded
from farnode.node.kubelet.pods import Pods
from farnode.node.kubelet.streams import Streams
from farnode.node.kubelet.upgrades import SPDY, is_websocket, negotiated, offered_protocols

PROTOCOL = "portforward.k8s.io"
TUNNEL = f"{SPDY}+{PROTOCOL}"


class PortForwards:
    """The handler."""

    def __init__(self, pods: Pods, streams: Streams) -> None:
        self._pods = pods
        self._streams = streams

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Connections to ports of a pod, until the client leaves."""
        ports = Ports(requests.target(self._pods, request.match_info))
        with self._streams.admitted():
            if not is_websocket(request):
                return await _spdy(request, ports)
            if TUNNEL in offered_protocols(request):
                return await _tunnel(request, ports)
            return await native_forward.serve(request, ports)


async def _spdy(request: web.Request, ports: Ports) -> web.StreamResponse:
    protocol = negotiated(request, (PROTOCOL,))
    async with upgraded(request, protocol) as upgrade:
        await spdy_forward.serve(upgrade, ports)
    return upgrade.response


async def _tunnel(request: web.Request, ports: Ports) -> web.StreamResponse:
    socket = await websocket_peer.opened(request, (TUNNEL,))
    await spdy_forward.serve(Tunnel(socket), ports)
    await socket.close()
    return socket
