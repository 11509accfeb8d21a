"""The site's wires: a hub (this machine), a NAT router, the edge behind it, and compute nodes behind the edge.

    hub 198.18.X.1 ── .2 router 10.77.X.1 ── .2 edge 10.78.X.1 ── .(10+i) node i

The router masquerades and lets nothing in; the edge does not forward, so a node reaches the edge and other nodes only.
Named namespaces outlive the processes in them, so a machine can be powered off and on without rewiring.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.testbed import host

FIREWALL = """\
table ip site {
    chain out {
        type nat hook postrouting priority srcnat;
        oifname "hub0" masquerade
    }
    chain in {
        type filter hook forward priority filter;
        iifname "hub0" ct state != { established, related } drop
    }
}
"""


@dataclass(frozen=True, slots=True)
class Network:
    """The wiring of one site; ``index`` picks names and subnets, so several sites can be up at once."""

    index: int
    nodes: int

    @property
    def hub(self) -> str:
        """Address of this machine as the site's edge sees it."""
        return f"198.18.{100 + self.index}.1"

    @property
    def edge(self) -> str:
        """Address of the edge as compute nodes see it."""
        return f"10.78.{100 + self.index}.1"

    def node(self, number: int) -> str:
        return f"10.78.{100 + self.index}.{10 + number}"

    def namespace(self, machine: str) -> str:
        return f"fn{self.index}{machine}"

    def hosts(self) -> str:
        """The ``/etc/hosts`` of every machine of the site."""
        names = {self.hub: "hub", self.edge: "edge"} | {self.node(i): f"n{i}" for i in range(1, self.nodes + 1)}
        return "127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for address, name in names.items())

    def create(self) -> None:
        """Wire everything, one netlink batch per namespace: some 50 ms for two nodes."""
        router, edge, site = self.namespace("rt"), self.namespace("edge"), 100 + self.index
        machines = {i: self.namespace(f"n{i}") for i in range(1, self.nodes + 1)}
        _batch([f"netns add {name}" for name in (router, edge, *machines.values())])
        hub = self.namespace("hub")
        _batch(
            [
                f"link add {hub} type veth peer name hub0 netns {router}",
                f"addr add {self.hub}/30 dev {hub}",
                f"link set {hub} up",
            ]
        )
        _batch(
            [
                f"link add edge0 type veth peer name out0 netns {edge}",
                f"addr add 198.18.{site}.2/30 dev hub0",
                f"addr add 10.77.{site}.1/24 dev edge0",
                *(f"link set {device} up" for device in ("lo", "hub0", "edge0")),
            ],
            router,
        )
        _batch(
            [
                f"addr add 10.77.{site}.2/24 dev out0",
                "link add br0 type bridge",
                f"addr add {self.edge}/24 dev br0",
                *(f"link set {device} up" for device in ("lo", "out0", "br0")),
                f"route add default via 10.77.{site}.1",
                *(f"link add v-n{i} type veth peer name eth0 netns {name}" for i, name in machines.items()),
                *(f"link set v-n{i} master br0 up" for i in machines),
            ],
            edge,
        )
        for i, name in machines.items():
            _batch([f"addr add {self.node(i)}/24 dev eth0", "link set eth0 up", "link set lo up"], name)
        inside = ["ip", "netns", "exec", router]
        host.call([*inside, "nft", "-f", "-"], stdin=FIREWALL)
        host.call([*inside, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"])

    def set_link(self, number: int, *, up: bool) -> None:
        """Stop or resume what passes between a node and the edge, as a switch does: no carrier is lost, nobody told."""
        state = "forwarding" if up else "disabled"
        host.call(["bridge", "-n", self.namespace("edge"), "link", "set", "dev", f"v-n{number}", "state", state])

    def remains(self) -> list[str]:
        """Namespaces of this site's name that exist now."""
        there = Path("/run/netns")
        mine = [self.namespace("rt"), self.namespace("edge")]
        return [name for name in mine if (there / name).exists()] + sorted(
            path.name for path in there.glob(self.namespace("n[0-9]*"))
        )

    def delete(self) -> None:
        """Remove what :meth:`create` made, or what is left of it, with every process still in it."""
        for name in self.remains():
            while pids := host.call(["ip", "netns", "pids", name]).split():
                for pid in pids:
                    _kill(int(pid))
            host.call(["ip", "netns", "del", name])
        device = Path("/sys/class/net") / self.namespace("hub")
        if device.exists():
            # The kernel takes the pair away by itself some time after its other end's namespace went.
            host.call(["sh", "-c", f"ip link del {device.name} 2>/dev/null || :"])
            host.wait_until(lambda: not device.exists(), f"{device.name} goes away")


def _batch(commands: Sequence[str], namespace: str | None = None) -> None:
    where = [] if namespace is None else ["-n", namespace]
    host.call(["ip", *where, "-batch", "-"], stdin="\n".join(commands) + "\n")


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
