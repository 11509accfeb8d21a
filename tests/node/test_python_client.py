"""The Python client of the Kubernetes project: what notebooks and operators do with pods."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, watch  # type: ignore[import-untyped]
from kubernetes.stream import portforward, stream  # type: ignore[import-untyped]

from tests.node.kubectl import Kubectl

pytestmark = [
    pytest.mark.system,
    # The client leaves the socket of a command that has ended to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

ECHO = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    peer, _ = server.accept()
    while data := peer.recv(65536):
        peer.sendall(data)
    peer.close()
"""


@pytest.fixture
def api(streaming: Kubectl) -> Iterator[client.CoreV1Api]:
    """Of the namespace of `streaming`."""
    with config.new_client_from_config(str(streaming.plane.kubeconfig)) as connection:
        yield client.CoreV1Api(connection)
    gc.collect()


def running(api: client.CoreV1Api, streaming: Kubectl, name: str, script: str = "sleep 1000", **container: Any) -> None:
    streaming.running(name, script, container=container)
    assert api.read_namespaced_pod(name, streaming.namespace).status.phase == "Running"


def test_a_command_is_run_and_its_output_is_read(api: client.CoreV1Api, streaming: Kubectl) -> None:
    running(api, streaming, "box")
    words = ["sh", "-c", "echo out; echo err >&2"]
    said = stream(
        api.connect_get_namespaced_pod_exec, "box", streaming.namespace, command=words, stdout=True, stderr=True
    )
    assert sorted(said.split()) == ["err", "out"]


def test_a_commands_exit_code_is_known(api: client.CoreV1Api, streaming: Kubectl) -> None:
    running(api, streaming, "box")
    words = ["sh", "-c", "exit 6"]
    socket = stream(
        api.connect_get_namespaced_pod_exec,
        "box",
        streaming.namespace,
        command=words,
        stdout=True,
        _preload_content=False,
    )
    socket.run_forever(timeout=30)
    assert socket.returncode == 6


def test_a_command_is_talked_with(api: client.CoreV1Api, streaming: Kubectl) -> None:
    running(api, streaming, "box")
    socket = stream(
        api.connect_get_namespaced_pod_exec,
        "box",
        streaming.namespace,
        command=["sh"],
        stdin=True,
        stdout=True,
        stderr=True,
        _preload_content=False,
    )
    socket.write_stdin("echo one\n")
    assert socket.readline_stdout(timeout=30) == "one"
    socket.write_stdin("echo two >&2\n")
    assert socket.readline_stderr(timeout=30) == "two"
    socket.write_stdin("exit 4\n")
    socket.run_forever(timeout=30)
    assert socket.returncode == 4


def test_a_terminal_is_resized(api: client.CoreV1Api, streaming: Kubectl) -> None:
    running(api, streaming, "box")
    socket = stream(
        api.connect_get_namespaced_pod_exec,
        "box",
        streaming.namespace,
        command=["sh", "-c", "until [ \"$(stty size)\" = '33 101' ]; do sleep 0.1; done; echo resized"],
        stdin=True,
        stdout=True,
        tty=True,
        _preload_content=False,
    )
    socket.write_channel(4, '{"Width":101,"Height":33}')
    assert socket.readline_stdout(timeout=30).strip() == "resized"
    socket.close()


def test_a_container_is_attached_to(api: client.CoreV1Api, streaming: Kubectl) -> None:
    running(api, streaming, "box", "read line; echo got $line; sleep 1000", stdin=True)
    socket = stream(
        api.connect_get_namespaced_pod_attach,
        "box",
        streaming.namespace,
        stdin=True,
        stdout=True,
        stderr=True,
        _preload_content=False,
    )
    socket.write_stdin("this\n")
    assert socket.readline_stdout(timeout=30) == "got this"
    socket.close()


def test_a_port_is_forwarded(api: client.CoreV1Api, streaming: Kubectl) -> None:
    running(api, streaming, "web", command=["python3", "-c", ECHO])
    port = int(next(iter(watch.Watch().stream(api.read_namespaced_pod_log, "web", streaming.namespace))))
    forwarding = portforward(api.connect_get_namespaced_pod_portforward, "web", streaming.namespace, ports=str(port))
    tunnel = forwarding.socket(port)
    tunnel.settimeout(30)
    data = b"0123456789abcdef" * 65536
    sender = threading.Thread(target=tunnel.sendall, args=(data,))
    sender.start()
    received = b""
    while len(received) < len(data):
        chunk = tunnel.recv(65536)
        assert chunk, f"closed after {len(received)} bytes: {forwarding.error(port)}"
        received += chunk
    sender.join()
    tunnel.close()
    assert received == data


def test_a_pods_life_is_watched(api: client.CoreV1Api, streaming: Kubectl) -> None:
    streaming.run("watched", "sleep 1")
    phases: list[str] = []
    watching = watch.Watch()
    for event in watching.stream(api.list_namespaced_pod, streaming.namespace, timeout_seconds=60):
        phase = event["object"].status.phase
        if phases[-1:] != [phase]:
            phases.append(phase)
        if phase == "Succeeded":
            watching.stop()
    assert phases[-2:] == ["Running", "Succeeded"]


def test_a_log_is_followed(api: client.CoreV1Api, streaming: Kubectl) -> None:
    running(api, streaming, "talking", "for i in 1 2 3; do echo $i; sleep 0.3; done")
    lines = list(watch.Watch().stream(api.read_namespaced_pod_log, "talking", streaming.namespace, follow=True))
    assert lines == ["1", "2", "3"]


def test_what_the_client_reads_of_a_pod_is_whole(api: client.CoreV1Api, streaming: Kubectl) -> None:
    running(api, streaming, "whole")
    status = api.read_namespaced_pod_status("whole", streaming.namespace).status
    assert status.container_statuses[0].ready
    assert status.container_statuses[0].state.running.started_at is not None
    assert {each.type for each in status.conditions} >= {"PodScheduled", "Initialized", "ContainersReady", "Ready"}
