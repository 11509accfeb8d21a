"""Streams to containers with a root file system of their own: Slurm and Apptainer."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farnode import Client, Permanent, Pod
from tests.client.live import running
from tests.sites.box import BoxSite

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def client(box_site: BoxSite) -> Iterator[Client]:
    with box_site.client() as client:
        yield client


def busybox(site: BoxSite, name: str, script: str, **container: Any) -> dict[str, Any]:
    main = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", script.replace("$", "$$")], **container}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [main]}
    (pod,) = site.fitted([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}])
    return pod


def test_input_reaches_a_container_and_its_end_too(box_site: BoxSite, client: Client) -> None:
    pod = running(client, busybox(box_site, "counting", "wc -c; exit 6", stdin=True, stdinOnce=True))
    with client.attach(pod, stdin=True) as session:
        session.send(b"x" * 200_000)
        session.close_stdin()
        assert b"".join(data for _, data in session).strip() == b"200000"
        assert session.exit_code == 6
    assert client.wait(pod).exit_code() == 6


def test_a_terminal_in_a_container(box_site: BoxSite, client: Client) -> None:
    pod = running(client, busybox(box_site, "tty", "exec sh", stdin=True, tty=True))
    with client.attach(pod, stdin=True, size=(33, 99)) as session:
        session.send(b"stty size; exit 7\n")
        assert b"33 99" in b"".join(data for _, data in session)
        assert session.exit_code == 7


def test_files_and_ports_of_a_container(box_site: BoxSite, client: Client, tmp_path: Path) -> None:
    served: Pod = running(
        client, busybox(box_site, "web", "mkdir -p /tmp/www && exec httpd -f -p 127.0.0.1:18380 -h /tmp/www")
    )
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "hello").write_text("hello\n")
    (tree / "sub" / "hello").chmod(0o755)
    (tree / "link").symlink_to("sub/hello")
    assert client.copy_to(served, tree, "/tmp/www") == []
    assert client.copy_from(served, "/tmp/www/tree", tmp_path / "back") == []
    assert (tmp_path / "back" / "link").readlink() == Path("sub/hello")
    assert (tmp_path / "back" / "sub" / "hello").stat().st_mode & 0o100
    with client.port_forward(served, {0: 18380}) as local:
        url = f"http://127.0.0.1:{local[18380]}/tree/sub/hello"
        assert urllib.request.urlopen(url).read() == b"hello\n"
    client.delete(served, grace=0)


def test_an_image_without_tar(box_site: BoxSite, client: Client, tmp_path: Path) -> None:
    bare = busybox(box_site, "bare", "", env=[{"name": "PATH", "value": "/none"}])
    bare["spec"]["containers"][0]["command"] = ["/bin/sleep", "600"]
    pod = running(client, bare)
    with pytest.raises(Permanent, match="the container has no tar, which copying needs"):
        client.copy_to(pod, __file__, "/tmp")
    with pytest.raises(Permanent, match="the container has no tar, which copying needs"):
        client.copy_from(pod, "/bin/busybox", tmp_path)
    client.delete(pod, grace=0)
