"""Disks without room: the gateway says so and waits, runners keep what they know, and all goes on when there is room.

Small file systems of their own, mounted over directories of the site: `system`, because that takes root.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from farnode import Pod
from tests.faults.sites import Faulty, kill, of_attempts, of_role
from tests.faults.testimony import Testimony, pod
from tests.sites import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


class Disk:
    """A small file system at a directory; `fill` takes all its room, `free` gives it back."""

    def __init__(self, path: Path, size: str) -> None:
        self.path = path
        self._filler = path / "filler"
        argv = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "farnode-test", str(path)]
        subprocess.run(argv, check=True, timeout=10)

    def fill(self) -> None:
        with self._filler.open("ab", buffering=0) as file:
            for piece in (1 << 20, 4096, 1):
                with suppress(OSError):  # there is no room for another piece
                    while True:
                        file.write(b"x" * piece)
        assert os.statvfs(self.path).f_bavail == 0

    def free(self) -> None:
        self._filler.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True, timeout=10)


@pytest.fixture
def small() -> Iterator[Callable[..., Any]]:
    """A started site whose `name` directory ("state" or "spool") is a small disk of its own."""
    with ExitStack() as stack:

        def make(name: str, **settings: Any) -> tuple[Faulty, Disk]:
            site = Faulty(settings)
            directory = site.directory / name
            directory.mkdir(0o700)
            disk = Disk(directory, "4m")
            stack.enter_context(_unmounted_before_removal(site, disk))
            stack.enter_context(site)
            return site, disk

        yield make


@contextmanager
def _unmounted_before_removal(site: Faulty, disk: Disk) -> Iterator[None]:
    remove = site._clear

    def clear() -> None:
        disk.close()
        remove()

    site._clear = clear  # type: ignore[method-assign]
    yield


def _post(site: Faulty, document: dict[str, Any]) -> httpx.Response:
    token = site.token("alice").read_text().strip()
    with httpx.Client(transport=httpx.HTTPTransport(uds=site.url.removeprefix("unix:")), timeout=60) as http:
        headers = {"Authorization": f"Bearer {token}"}
        return http.post("http://gateway/v1/pods", json={"bundles": [{"pod": document}]}, headers=headers)


def _document(number: int, script: str) -> dict[str, Any]:
    document = pod(f"pod-{number}", script)
    document["metadata"]["uid"] = f"00000000-0000-4000-8000-{number:012d}"
    document["metadata"]["annotations"]["example.org/ballast"] = "b" * 100_000
    return document


def test_a_full_state_directory(small: Callable[..., Any], tmp_path: Path) -> None:
    site, disk = small("state")
    testimony = Testimony.at(tmp_path / "testimony")
    leave = tmp_path / "leave"
    with site.client() as client:
        (running,) = client.submit(pod("running", testimony.script(f"while [ ! -e {leave} ]; do sleep 0.1; done")))
        wait_until(lambda: testimony.count("start", running.uid), "it runs", 30)
        disk.fill()
        accepted, refused = [], None
        for number in range(200):
            answer = _post(site, _document(number, testimony.script("true")))
            if answer.status_code != 200:
                refused = answer
                break
            accepted.append(number)
        assert refused is not None
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert "the database cannot be written" in refused.json()["error"]["message"]
        assert "the database cannot be written" in client.site()["problem"]
        leave.touch()
        wait_until(lambda: testimony.count("end", running.uid), "pods go on meanwhile", 10)
        late: list[Pod] = []
        thread = threading.Thread(target=lambda: late.extend(client.submit(pod("late", testimony.script("true")))))
        thread.start()
        disk.free()
        thread.join(60)
        assert late, "who asked meanwhile got an answer"
        wait_until(lambda: client.site()["healthy"], "the site is well again", 30)
        repeated = _post(site, _document(len(accepted), testimony.script("true")))
        assert repeated.status_code == 200
        wait_until(lambda: all(one.ended for one in client.pods()), "all pods end", 60)
        pods = client.pods()
        assert len(pods) == len(accepted) + 3
        for one in pods:
            assert (one.phase, one.attempt) == ("Succeeded", 1), one.view
            assert testimony.count("start", one.uid) == 1
    testimony.check()


def test_a_gateway_starts_beside_a_full_state_directory(small: Callable[..., Any], tmp_path: Path) -> None:
    site, disk = small("state")
    testimony = Testimony.at(tmp_path / "testimony")
    leave = tmp_path / "leave"
    with site.client() as client:
        (running,) = client.submit(pod("running", testimony.script(f"while [ ! -e {leave} ]; do sleep 0.1; done")))
        wait_until(lambda: testimony.count("start", running.uid), "it runs", 30)
    disk.fill()
    site.kill()
    site.start()
    leave.touch()
    with site.client() as client:
        wait_until(lambda: testimony.count("end", running.uid), "it goes on", 10)
        disk.free()
        ended = client.wait(running)
        assert (ended.phase, ended.attempt) == ("Succeeded", 1)


def test_a_full_spool_delays_allocations(small: Callable[..., Any], tmp_path: Path) -> None:
    provider = {"kind": "local", "cores": 16, "memory": "16Gi", "standing": False}
    site, disk = small("spool", provider=provider)
    testimony = Testimony.at(tmp_path / "testimony")
    disk.fill()
    with site.client() as client:
        (waiting,) = client.submit(pod("waiting", testimony.script("true")))
        wait_until(lambda: "No space left" in client.site().get("problem", ""), "the site says what is wrong", 30)
        assert client.pod(waiting).phase == "Pending"
        disk.free()
        ended = client.wait(waiting)
    assert (ended.phase, ended.attempt) == ("Succeeded", 1), ended.view
    assert testimony.count("start", ended.uid) == 1


def test_ends_of_pods_survive_a_full_spool_and_the_death_of_their_runner(
    small: Callable[..., Any], tmp_path: Path
) -> None:
    """What could not be written down while the disk was full is written when there is room, and read after all."""
    site, disk = small("spool")
    testimony = Testimony.at(tmp_path / "testimony")
    leave = [tmp_path / "leave-0", tmp_path / "leave-1"]
    scripts = [testimony.script(f"while [ ! -e {path} ]; do sleep 0.1; done") for path in leave]
    with site.client() as client:
        early = client.submit([pod(f"early-{i}", scripts[0]) for i in range(8)])
        (late,) = client.submit(pod("late", scripts[1]))
        everyone = [*early, late]
        wait_until(lambda: all(testimony.count("start", one.uid) for one in everyone), "all run", 30)
        wait_until(lambda: all(client.pod(one).phase == "Running" for one in everyone), "the gateway knows", 30)
    site.kill()
    disk.fill()
    leave[0].touch()
    wait_until(lambda: all(testimony.count("end", one.uid) for one in early), "the early ones end", 30)
    wait_until(lambda: len(of_attempts(site)) == 1, "nothing of them is left", 30)
    disk.free()
    leave[1].touch()
    wait_until(lambda: _ends(site) >= {one.uid for one in everyone}, "all ends are written down", 30)
    (runner,) = of_role(site, "run")
    kill(site, runner)
    wait_until(lambda: not of_role(site, "run"), "the runner is dead", 10)
    site.start()
    with site.client() as client:
        for one in everyone:
            ended = client.wait(one)
            assert (ended.phase, ended.attempt) == ("Succeeded", 1), ended.view
    testimony.check()


def _ends(site: Faulty) -> set[str]:
    """UIDs of pods whose ends stand on whole lines of a journal."""
    found = set()
    for path in (site.spool / "allocations").glob("*/events-*.jsonl"):
        for line in path.read_text().splitlines():
            with suppress(ValueError):
                event = json.loads(line)
                if event["ended"]:
                    found.add(event["uid"])
    return found
