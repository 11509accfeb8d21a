"""Who listens on a port: only the processes that are asked for."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from farnode.runner.processes import listeners
from farnode.runner.processes.listeners import address_of

STRANGER = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""
WITHOUT_IPV6 = """
import os, socket, sys
from farnode.runner.processes.listeners import address_of
with open("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "w") as switch:
    switch.write("1")
server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=sys.argv[1] == "dual")
port = server.getsockname()[1]
print(address_of(port, [os.getpid()]))
if sys.argv[1] != "dual":
    stranger = socket.create_server(("127.0.0.1", port))
    pid = os.fork()
    if not pid:
        stranger.close()
        print(address_of(port, [os.getpid()]), flush=True)
        os._exit(0)
    server.close()
    os.waitpid(pid, 0)
"""
CORE = str(Path(__file__).parents[2] / "core")


@contextlib.contextmanager
def listening(host: str, v6only: bool = False, listen: bool = True) -> Iterator[int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as server:
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6only))
        server.bind((host, 0))
        if listen:
            server.listen()
        yield server.getsockname()[1]


def interface() -> str:
    """An address of this machine that is not the loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        address: str = probe.getsockname()[0]
        return address


@pytest.mark.parametrize(
    ("host", "v6only", "found"),
    [
        ("127.0.0.1", False, "127.0.0.1"),
        ("127.0.0.9", False, "127.0.0.9"),
        ("0.0.0.0", False, "127.0.0.1"),
        ("::1", False, "::1"),
        ("::", False, "::1"),
        ("::", True, "::1"),
        ("::ffff:127.0.0.1", False, "127.0.0.1"),
    ],
)
def test_where_a_process_listens_it_is_reached(host: str, v6only: bool, found: str) -> None:
    with listening(host, v6only) as port:
        assert address_of(port, [os.getpid()]) == found
        with socket.create_connection((found, port), timeout=5) as connection:
            assert connection.getpeername()[1] == port


def test_an_address_of_an_interface() -> None:
    with listening(interface()) as port:
        assert address_of(port, {os.getpid()}) == interface()


@pytest.mark.parametrize(("socket_kind", "found"), [("dual", "127.0.0.1\n"), ("six", "127.0.0.1\nNone\n")])
def test_a_node_without_ipv6_on_its_loopback(socket_kind: str, found: str) -> None:
    """In a network of its own. What a stranger may answer at IPv4 is not taken for the pod's."""
    argv = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    argv += [sys.executable, "-c", WITHOUT_IPV6, socket_kind]
    done = subprocess.run(argv, env={**os.environ, "PYTHONPATH": CORE}, capture_output=True, text=True, check=False)
    assert done.stdout == found, done.stderr


def test_nobody_listens() -> None:
    with listening("127.0.0.1", listen=False) as port:
        assert address_of(port, [os.getpid()]) is None
    with listening("127.0.0.1") as port:
        assert address_of(port, []) is None
        assert address_of(port, [2**22 + 1]) is None
    assert address_of(port, [os.getpid()]) is None


def test_what_a_stranger_listens_at_is_not_found() -> None:
    with subprocess.Popen([sys.executable, "-c", STRANGER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout is not None
        port = int(stranger.stdout.readline())
        assert address_of(port, [os.getpid()]) is None
        assert address_of(port, [os.getpid(), stranger.pid]) == "127.0.0.1"
        assert address_of(port, [os.getpid()]) is None  # who holds it was remembered: it is still a stranger
        stranger.stdin.close()  # type: ignore[union-attr]


def test_a_socket_that_was_remembered_and_is_gone() -> None:
    with listening("127.0.0.1") as port:
        assert address_of(port, [os.getpid()]) == "127.0.0.1"
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        assert address_of(port, [os.getpid()]) is None
        other.listen()
        assert address_of(port, [os.getpid()]) == "127.0.0.1"


def test_what_is_remembered_is_bounded() -> None:
    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(listening("127.0.0.1")) for _ in range(20)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(listeners, "REMEMBERED", 8)
            assert {address_of(port, [os.getpid()]) for port in ports} == {"127.0.0.1"}
            assert len(listeners._holders) <= 8
