"""What a probe or a lifecycle hook does, as the API server validates it.

Source: Kubernetes, "Configure Liveness, Readiness and Startup Probes" and "Container Lifecycle Hooks". Every action
concerns the pod itself: pods share their node's network with strangers, so no other host can be named.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from farnode.model.names import HEADER_NAME
from farnode.model.port import Port, read_target
from farnode.model.reader import Reader

_KEPT = "/%:?&=@!$'()*+,;[]~-._"
"""Characters that mean something in the path and query of a URL; all others are escaped."""


@dataclass(frozen=True, slots=True)
class Exec:
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HttpGet:
    """`path` as it stands in the request, with its query; `headers` are (name, value)."""

    port: int
    path: str = "/"
    scheme: str = "HTTP"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TcpSocket:
    port: int


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: int


Action = Exec | HttpGet | TcpSocket | Sleep


def read_action(reader: Reader, options: Sequence[str], ports: Sequence[Port], grace: int) -> Action:
    """The one action given, out of `options`; `grace` is the pod's, which a sleep must not exceed."""
    chosen = reader.only_one(options)
    action = reader.at(chosen)
    if chosen == "exec":
        return _read_exec(action)
    if chosen == "sleep":
        return _read_sleep(action, grace)
    _check_host(action.at("host"))
    port = read_target(action.at("port"), ports)
    return TcpSocket(port) if chosen == "tcpSocket" else _read_http(action, port)


def _read_exec(reader: Reader) -> Exec:
    command = reader.at("command").texts()
    if not command:
        raise reader.at("command").invalid("is required")
    return Exec(command)


def _read_sleep(reader: Reader, grace: int) -> Sleep:
    seconds = reader.at("seconds").number(0) or 0
    if seconds > grace:
        raise reader.at("seconds").invalid(f"{seconds} is more than terminationGracePeriodSeconds, {grace}")
    return Sleep(seconds)


def _read_http(reader: Reader, port: int) -> HttpGet:
    path = reader.at("path").text("/").partition("#")[0]
    headers = tuple(_read_header(item) for item in reader.at("httpHeaders").items())
    scheme = reader.at("scheme").choice(("HTTP", "HTTPS"), "HTTP")
    return HttpGet(port, quote("/" + path.removeprefix("/"), _KEPT), scheme, headers)


def _read_header(reader: Reader) -> tuple[str, str]:
    name, value = reader.at("name"), reader.at("value")
    text = value.text("")
    if any((ord(character) < 32 and character != "\t") or ord(character) == 127 for character in text):
        raise value.invalid("must not contain line breaks or other control characters")
    return HEADER_NAME.check(name.text(), name.path), text


def _check_host(reader: Reader) -> None:
    host = reader.text("")
    if host and host != "localhost" and not _is_loopback(host):
        words = "probes and hooks reach only their own pod; leave it out, or use httpHeaders for a Host header"
        raise reader.invalid(f"{host!r} is not this pod: {words}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
