"""Commands that carry streams, as processes, against a real gateway and real containers."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import socket
import subprocess
import termios
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
import yaml

from farnode import Client, Pod
from tests.client.live import printed, program, running, web
from tests.sites import EmbeddedSite

PATIENCE = 30
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


class Shell:
    def __init__(self, site: EmbeddedSite, config: Path) -> None:
        self.site = site
        self.environ = {**os.environ, "FARNODE_CONFIG": str(config)}
        entry = {"name": "local", "url": site.url, "tokenFile": str(site.token("alice"))}
        config.write_text(yaml.safe_dump({"default": "local", "sites": [entry]}))

    def __call__(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = self.site.command(*words)
        return subprocess.run(
            command, input=stdin, capture_output=True, env=self.environ, timeout=PATIENCE, check=False
        )

    @contextmanager
    def popen(self, *words: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        with subprocess.Popen(self.site.command(*words), env=self.environ, **options) as process:
            try:
                yield process
            finally:
                process.kill()


class Terminal:
    """One of its own for a process."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self.before = termios.tcgetattr(self.theirs)

    def options(self) -> dict[str, Any]:
        streams = {"stdin": self.theirs, "stdout": self.theirs, "stderr": self.theirs}
        return {**streams, "start_new_session": True, "preexec_fn": _own}

    def expect(self, pattern: bytes) -> bytes:
        seen = b""
        while not re.search(pattern, seen):
            assert select.select([self.ours], [], [], PATIENCE)[0], f"{pattern!r} is not in {seen!r}"
            seen += os.read(self.ours, 4096)
        return seen

    def type(self, text: bytes) -> None:
        os.write(self.ours, text)

    def close(self) -> None:
        assert termios.tcgetattr(self.theirs) == self.before
        os.close(self.ours)
        os.close(self.theirs)


def _own() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def shell(embedded_site: EmbeddedSite, tmp_path: Path) -> Shell:
    return Shell(embedded_site, tmp_path / "config.yaml")


@pytest.fixture
def client(embedded_site: EmbeddedSite) -> Iterator[Client]:
    with embedded_site.client() as client:
        yield client


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


def until(stream: IO[bytes] | None, pattern: str) -> re.Match[str]:
    """The first line that has it."""
    assert stream is not None
    while line := stream.readline().decode():
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"no line has {pattern}")


def test_attach_in_a_terminal(shell: Shell, client: Client, terminal: Terminal) -> None:
    pod = running(client, program("tty", "sh", stdin=True, tty=True))
    with shell.popen("attach", "-it", pod.uid, **terminal.options()) as process:
        terminal.expect(b"try pressing enter")
        terminal.type(b"echo it is $((6*7)); exit 3\n")
        terminal.expect(rb"it is 42\r\n")
        assert process.wait(PATIENCE) == 3
    assert client.wait(pod).exit_code() == 3


def test_attach_says_what_the_container_lacks(shell: Shell, client: Client) -> None:
    pod = running(client, program("plain", "sh", "-c", "sleep 2; echo done; exit 4"))
    done = shell("attach", "-i", "-t", pod.uid, stdin=b"x")
    assert (done.returncode, done.stdout) == (4, b"done\n")
    assert b"has no `stdin`" in done.stderr
    assert b"has no `tty`" in done.stderr
    failed = shell("attach", pod.uid)
    assert (failed.returncode, failed.stdout) == (1, b"")
    assert failed.stderr.startswith(b"error: unable to attach because pod")


def test_ctrl_c_leaves_an_attached_container_alone(shell: Shell, client: Client) -> None:
    pod = running(client, program("ticks", "sh", "-c", "while sleep 0.1; do echo tick; done"))
    with shell.popen("attach", pod.uid, **PIPES) as process:
        until(process.stdout, "tick")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert client.pod(pod.uid).phase == "Running"
    client.delete(pod, grace=0)


def test_run_with_input(shell: Shell, client: Client) -> None:
    command = ["run", "-i", "--rm", "--runtime", "process", "--name", "counting", "--", "sh", "-c", "wc -c; exit 6"]
    done = shell(*command, stdin=b"x" * 100_000)
    assert (done.returncode, done.stdout.strip()) == (6, b"100000"), done.stderr
    assert "counting" not in {pod.name for pod in client.pods()}


def test_run_in_a_terminal(shell: Shell, client: Client, terminal: Terminal) -> None:
    words = ["run", "-it", "--rm", "--runtime", "process", "--name", "talk", "--", "sh"]
    with shell.popen(*words, **terminal.options()) as process:
        terminal.expect(b"try pressing enter")
        terminal.type(b"tty; exit 5\n")
        terminal.expect(rb"/dev/")
        assert process.wait(PATIENCE) == 5
    assert "talk" not in {pod.name for pod in client.pods()}


def test_run_of_what_ends_at_once_shows_its_log(shell: Shell) -> None:
    done = shell("run", "-i", "--rm", "--runtime", "process", "--name", "quick", "--", "echo", "hello")
    assert (done.returncode, done.stdout) == (0, b"hello\n"), done.stderr
    for words in (["-t", "--image", "x"], ["-i", "x.yaml"], ["--rm", "-d", "--image", "x"]):
        assert shell("run", *words).returncode == 2


def test_port_forward(shell: Shell, client: Client, tmp_path: Path) -> None:
    (tmp_path / "hello").write_text("hello\n")
    pod = running(client, web("web", str(tmp_path)))
    port = printed(client, pod)
    with shell.popen("port-forward", pod.uid, f":{port}", ":1", **PIPES) as process:
        first = int(until(process.stdout, rf"^Forwarding from 127\.0\.0\.1:(\d+) -> {port}$")[1])
        closed = int(until(process.stdout, r"^Forwarding from 127\.0\.0\.1:(\d+) -> 1$")[1])
        assert urllib.request.urlopen(f"http://127.0.0.1:{first}/hello").read() == b"hello\n"
        until(process.stdout, f"^Handling connection for {port}$")
        with pytest.raises(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{closed}/hello")
        until(process.stderr, f"an error occurred forwarding {closed} -> 1: .*no process of the pod listens there")
        assert urllib.request.urlopen(f"http://127.0.0.1:{first}/hello").read() == b"hello\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    with shell.popen("port-forward", "--address", "127.0.0.3", pod.uid, f"0:{port}", **PIPES) as process:
        until(process.stdout, rf"^Forwarding from 127\.0\.0\.3:\d+ -> {port}$")
        client.delete(pod, grace=0)
        assert process.wait(PATIENCE) == 1
        until(process.stderr, "^error: .*lost connection to pod")


def test_ports_by_name(shell: Shell, client: Client, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    pod = running(client, web("named", str(tmp_path), ports=[{"name": "http", "containerPort": port}]))
    with shell.popen("port-forward", pod.uid, "0:http", **PIPES) as process:
        until(process.stdout, f"-> {port}$")
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
    for ports, words in (
        ("0:web", b"named port 'web'; its ports are http"),
        ("70000", b"is not a port"),
        ("x:1", b"'x'"),
    ):
        done = shell("port-forward", pod.uid, ports)
        assert done.returncode == 1
        assert words in done.stderr
    client.delete(pod, grace=0)


def test_cp(shell: Shell, client: Client, tmp_path: Path) -> None:
    pod = running(client, program("files", "sleep", "600"))
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "one").write_text("1\n")
    os.mkfifo(tmp_path / "tree" / "fifo")
    there = tmp_path / "there"
    there.mkdir()
    done = shell("cp", str(tmp_path / "tree"), f"default/files:{there}")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr == b"left out: tree/fifo: neither file, directory nor link\n"
    assert shell("cp", f"files:{there}/tree/one", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_text() == "1\n"
    mistakes: Sequence[tuple[Sequence[str], int, bytes]] = (
        (["a", "b"], 2, b"must be POD:PATH"),
        (["files:", "b"], 2, b"is not [NAMESPACE/]POD:PATH"),
        (["./a:b", f"files:{there}"], 1, b"a:b: no such file or directory"),
        ([f"files:{there}/none", str(tmp_path / "x")], 1, b"error: tar in the container"),
    )
    for words, code, said in mistakes:
        done = shell("cp", *words)
        assert done.returncode == code
        assert said in done.stderr
    client.delete(pod, grace=0)


def test_logs_of_all_containers(shell: Shell, client: Client) -> None:
    manifest = program("several", "sh", "-c", "echo main; printf unended")
    second = {"name": "second", "image": "none", "command": ["echo", "two"]}
    first = {"name": "first", "image": "none", "command": ["echo", "one"]}
    manifest["spec"]["containers"].append(second)
    manifest["spec"]["initContainers"] = [first]
    (pod,) = client.submit(manifest)
    ended: Pod = client.wait(pod)
    assert ended.succeeded
    assert shell("logs", pod.uid, "--all-containers").stdout == b"one\nmain\nunendedtwo\n"
    lines = shell("logs", "-f", pod.uid, "--all-containers", "--prefix").stdout.splitlines()
    assert sorted(lines) == [
        b"[pod/several/first] one",
        b"[pod/several/main] main",
        b"[pod/several/main] unended",
        b"[pod/several/second] two",
    ]
    assert shell("logs", pod.uid, "first").stdout == b"one\n"
    assert shell("logs", pod.uid, "--prefix", "-c", "second").stdout == b"[pod/several/second] two\n"
    assert shell("logs", pod.uid, "-c", "a", "b").returncode == 2
    ignoring = shell("logs", pod.uid, "--all-containers", "-p", "--ignore-errors")
    assert (ignoring.returncode, ignoring.stdout) == (0, b"")
    assert shell("logs", pod.uid, "--all-containers", "-p").returncode == 1


def test_describe(shell: Shell, client: Client) -> None:
    secret = {"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    manifest = program("story", "sleep", "600", env=[secret])
    content = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "never shown"}}
    documents = [yaml.safe_dump(content), yaml.safe_dump(manifest)]
    (pod,) = client.submit("---\n".join(documents))
    while client.pod(pod.uid).phase != "Running":
        pass
    for form in ([], ["-o", "yaml"], ["-o", "json"]):
        done = shell("describe", pod.uid, *form)
        assert done.returncode == 0, done.stderr
        assert b"never shown" not in done.stdout
    told = shell("describe", pod.uid).stdout.decode()
    assert "<set to the key 'k' in secret 's'>" in told
    assert re.search(r"Processes:  1\n", told)
    assert re.search(r"Normal +Started +\S+ +Started container main", told)
    client.delete(pod, grace=0)
