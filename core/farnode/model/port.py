"""Ports of a container, and how probes and hooks name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farnode.model.names import PORT_NAME
from farnode.model.reader import Reader

LAST = 65535


@dataclass(frozen=True, slots=True)
class Port:
    """What a container says it listens on: for people, port-forwarding and probes by name, and kept free of other pods
    on its node. `host` is the address a hostPort names, "" for all; None without hostPort."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    host: str | None = None


def read_ports(reader: Reader) -> tuple[Port, ...]:
    ports: list[Port] = []
    for item in reader.items():
        port = _read_port(item)
        if port.name and any(port.name == other.name for other in ports):
            raise item.at("name").invalid(f"{port.name!r} is already the name of another port")
        ports.append(port)
    return tuple(ports)


def read_target(reader: Reader, ports: Sequence[Port]) -> int:
    """The number of the port that a probe or hook means, by number or by name."""
    if not isinstance(reader.value, str):
        return _number(reader)
    name = PORT_NAME.check(reader.text(), reader.path)
    for port in ports:
        if port.name == name:
            return port.port
    known = ", ".join(port.name for port in ports if port.name) or "(none)"
    raise reader.invalid(f"{name!r} is not the name of a port of this container; they are {known}")


def _read_port(reader: Reader) -> Port:
    """A hostPort must be the container's, as the API server asks of every pod on its node's own network."""
    number, name, host = _number(reader.at("containerPort")), reader.at("name"), reader.at("hostPort")
    if name.text(""):
        PORT_NAME.check(name.text(), name.path)
    if host.number(0, LAST) and host.value != number:
        raise host.invalid(f"must be containerPort, {number}: containers use the network of the host they run on")
    return Port(
        number,
        name.text(""),
        reader.at("protocol").choice(("TCP", "UDP", "SCTP"), "TCP"),
        reader.at("hostIP").text("") if host.value else None,
    )


def _number(reader: Reader) -> int:
    number = reader.number(1, LAST)
    if number is None:
        raise reader.invalid("is required")
    return number
