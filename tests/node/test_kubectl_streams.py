"""exec, attach, cp and port-forward by the real kubectl, and by one that speaks SPDY/3.1 itself; where the API server
passes WebSockets on to the node, and where it speaks SPDY with it."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.node.kubectl import Kubectl
from tests.node.stack import Stack

pytestmark = pytest.mark.system

OLD = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
"""The kubectl of some years ago: SPDY from the first byte."""
LARGE = 20 * 2**20
SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.path.encode() if self.path != "/large" else b"0123456789abcdef" * (LARGE // 16)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
""".replace("LARGE", str(LARGE))


@pytest.fixture(params=["new", "old"])
def kubectl(request: pytest.FixtureRequest, streaming: Kubectl) -> Kubectl:
    """As it is, and as it was."""
    return streaming if request.param == "new" else streaming.with_environ(**OLD)


# ---- exec ------------------------------------------------------------------------------------------------------------


def test_exec_gives_output_errors_and_exit_code(kubectl: Kubectl) -> None:
    kubectl.running("box")
    done = kubectl("exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert done.stderr == "err\ncommand terminated with exit code 7\n"
    assert kubectl("exec", "box", "--", "echo", "fine").stdout == "fine\n"


def test_exec_reads_what_it_is_given_to_the_end(kubectl: Kubectl) -> None:
    kubectl.running("box")
    assert kubectl("exec", "-i", "box", "--", "sort", stdin="c\na\nb\n").stdout == "a\nb\nc\n"
    assert kubectl("exec", "-i", "box", "--", "cat", stdin="").stdout == ""


def test_exec_carries_many_bytes_in_both_directions(kubectl: Kubectl) -> None:
    kubectl.running("box")
    data = os.urandom(LARGE)
    with kubectl.popen("exec", "-i", "box", "--", "cat", stdin=-1, stdout=-1) as process:
        out, _ = process.communicate(data, timeout=120)
    assert process.returncode == 0
    assert hashlib.sha256(out).hexdigest() == hashlib.sha256(data).hexdigest()


def test_exec_of_a_program_that_is_not_there(kubectl: Kubectl) -> None:
    kubectl.running("box")
    done = kubectl("exec", "box", "--", "no-such-program", check=False)
    assert done.returncode in (126, 127, 1)
    assert "no-such-program" in done.stderr


def test_exec_in_a_container_that_has_ended(kubectl: Kubectl) -> None:
    kubectl.run("over", "true")
    kubectl.ended("over")
    done = kubectl("exec", "over", "--", "true", check=False)
    assert done.returncode == 1
    assert "completed pod" in done.stderr


def test_exec_in_a_terminal(kubectl: Kubectl) -> None:
    kubectl.running("box")
    with kubectl.terminal("exec", "-it", "box", "--", "sh") as terminal:
        terminal.type("stty size; echo se''en\n")
        assert "30 100" in terminal.until("seen")
        terminal.resize(40, 120)
        terminal.type("until [ \"$(stty size)\" = '40 120' ]; do sleep 0.1; done; echo resi''zed\n")
        terminal.until("resized")
        terminal.type("""sh -c 'trap "echo inter""rupted; exit" INT; echo slee""ping; while :; do sleep 0.1; done'\n""")
        terminal.until("sleeping")
        terminal.type("\x03")
        terminal.until("interrupted")
        terminal.type("exit 5\n")
        assert terminal.wait() == 5


def test_exec_in_a_terminal_ends_with_its_input(kubectl: Kubectl) -> None:
    kubectl.running("box")
    with kubectl.terminal("exec", "-it", "box", "--", "cat") as terminal:
        terminal.type("echoed\n")
        terminal.until("echoed")
        terminal.until("echoed")
        terminal.type("\x04")
        assert terminal.wait() == 0


# ---- attach ----------------------------------------------------------------------------------------------------------


def test_attach_shows_what_a_container_writes_and_ends_with_it(kubectl: Kubectl) -> None:
    kubectl.running("box", "read line; echo got $line", container={"stdin": True, "stdinOnce": True})
    done = kubectl("attach", "-i", "box", stdin="this\n")
    assert "got this\n" in done.stdout


def test_attach_to_a_terminal(kubectl: Kubectl) -> None:
    kubectl.running("box", "exec sh", container={"stdin": True, "stdinOnce": True, "tty": True})
    with kubectl.terminal("attach", "-it", "box") as terminal:
        terminal.type("echo he''re\n")
        terminal.until("here")
        terminal.type("until [ \"$(stty size)\" = '30 100' ]; do sleep 0.1; done; echo si''zed\n")
        terminal.until("sized")
        terminal.type("exit\n")
        terminal.wait()
    kubectl.ended("box")


# ---- cp --------------------------------------------------------------------------------------------------------------


def test_files_are_copied_both_ways(kubectl: Kubectl, tmp_path: Path) -> None:
    mounts = {"volumeMounts": [{"name": "x", "mountPath": "/mnt"}]}
    kubectl.running("box", container=mounts, volumes=[{"name": "x", "emptyDir": {}}])
    there, back = tmp_path / "there", tmp_path / "back"
    (there / "deep").mkdir(parents=True)
    (there / "large").write_bytes(os.urandom(2 * 2**20))
    (there / "deep" / "empty").touch()
    kubectl("cp", str(there), "box:/mnt/copied")
    kubectl("cp", "box:/mnt/copied", str(back))
    assert (back / "large").read_bytes() == (there / "large").read_bytes()
    assert (back / "deep" / "empty").read_bytes() == b""


def test_a_copy_that_fails_says_so(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl.running("box")
    (tmp_path / "file").write_text("text")
    done = kubectl("cp", str(tmp_path / "file"), "box:/no/such/directory/file", check=False)
    assert done.returncode != 0
    assert "/no/such/directory" in done.stderr


# ---- port-forward ----------------------------------------------------------------------------------------------------


@contextmanager
def forwarded(kubectl: Kubectl, name: str, port: int) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A local port that leads to the pod's, and kubectl."""
    with kubectl.popen("port-forward", f"pod/{name}", f":{port}", stdout=-1, stderr=-1) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) ->", line)
        assert found, line
        yield int(found[1]), process


def serving(kubectl: Kubectl) -> int:
    """A pod `web` that answers on a port."""
    kubectl.running("web", "unused", container={"command": ["python3", "-c", SERVER]})
    with kubectl.popen("logs", "-f", "web", stdout=-1) as following:
        assert following.stdout is not None
        return int(following.stdout.readline())


def test_a_port_is_forwarded_for_many_connections_at_once(kubectl: Kubectl) -> None:
    port = serving(kubectl)
    with forwarded(kubectl, "web", port) as (local, _), ThreadPoolExecutor(16) as pool:
        urls = [f"http://127.0.0.1:{local}/{i}" for i in range(64)]
        answers = list(pool.map(lambda url: httpx.get(url, timeout=60).text, urls))
    assert answers == [f"/{i}" for i in range(64)]


def test_a_forwarded_port_carries_many_bytes_in_both_directions(kubectl: Kubectl) -> None:
    port = serving(kubectl)
    data = os.urandom(LARGE)
    with forwarded(kubectl, "web", port) as (local, _):
        down = httpx.get(f"http://127.0.0.1:{local}/large", timeout=120).content
        both = httpx.post(f"http://127.0.0.1:{local}/", content=data, timeout=120).content
    assert down == b"0123456789abcdef" * (LARGE // 16)
    assert hashlib.sha256(both).hexdigest() == hashlib.sha256(data).hexdigest()


def test_a_port_where_nobody_listens_says_so(kubectl: Kubectl) -> None:
    kubectl.running("box")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with forwarded(kubectl, "box", probe.getsockname()[1]) as (local, process):
            with socket.create_connection(("127.0.0.1", local), 10) as connection:
                connection.settimeout(30)
                assert connection.recv(1) == b""
            _, said = process.communicate(timeout=30)
    assert b"no process of the pod listens there" in said


# ---- who may ask -----------------------------------------------------------------------------------------------------


def test_only_the_api_server_is_served_by_a_node_that_shows_what_the_authority_issued(plain_stack: Stack) -> None:
    node, directory = plain_stack.node, plain_stack.plane.directory
    url = f"https://{node.address}:{node.port}/pods"
    stranger = ssl.create_default_context(cafile=str(plain_stack.plane.authority))
    assert httpx.get(url, verify=stranger, timeout=30).status_code == 401
    known = ssl.create_default_context(cafile=str(plain_stack.plane.authority))
    known.load_cert_chain(directory / "kubelet-client.crt", directory / "kubelet-client.key")
    assert httpx.get(url, verify=known, timeout=30).json()["kind"] == "PodList"
