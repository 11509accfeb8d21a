"""Databases of other versions: a newer one is refused in one line, older ones are read whole."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from farnode.gateway.records import Life, Stage
from farnode.gateway.store import VERSION, Batch, Store
from tests.faults.fixtures.make import CLAIMS, DATABASES, PODS
from tests.faults.sites import Faulty
from tests.sites import wait_until


@pytest.fixture
def idle() -> Faulty:
    """A site whose gateway has not been started."""
    site = Faulty()
    site.state.mkdir(0o700)
    return site


def test_a_newer_database_is_refused_in_one_line(idle: Faulty) -> None:
    database = idle.state / "farnode.db"
    with sqlite3.connect(database) as db:
        db.execute(f"PRAGMA user_version={VERSION + 1}")
    db.close()
    before = database.read_bytes()
    argv = idle.command("gateway", "start", "-c", str(idle.config))
    done = subprocess.run(argv, env=idle.environ, capture_output=True, text=True, check=False, timeout=60)
    unchanged = database.read_bytes() == before
    shutil.rmtree(idle.directory)
    assert unchanged
    assert done.returncode > 0
    words = [line for line in (done.stdout + done.stderr).splitlines() if line]
    assert len(words) == 1, words
    assert "newer farnode" in words[0]
    assert str(database) in words[0]
    assert f"schema {VERSION + 1}" in words[0]


@pytest.mark.parametrize("version", DATABASES)
def test_every_record_of_an_older_version_is_understood(tmp_path: Path, version: int) -> None:
    path = tmp_path / "farnode.db"
    shutil.copy(DATABASES[version], path)
    store = Store(path)
    loaded = store.load()
    assert set(loaded.claims) == (set(CLAIMS) if version >= 2 else set())
    assert {pod.stage for _, pod in loaded.pods} == set(Stage)
    assert {allocation.life for allocation in loaded.allocations} >= {Life.SUBMITTED, Life.RUNNING, Life.ENDED}
    assert {pod.uid for _, pod in loaded.pods} == set(loaded.bundles) == set(PODS.values())
    assert loaded.gone
    assert loaded.settings == {"draining": ""}
    assert store.usage()
    store.commit(Batch(claims={CLAIMS[0].key: CLAIMS[0]}))
    store.close()
    store = Store(path)  # whatever it was, it is of this version now
    assert CLAIMS[0] in store.load().claims
    store.close()


@pytest.mark.parametrize("version", DATABASES)
def test_a_gateway_goes_on_with_an_older_database(version: int) -> None:
    """The batch system knows nothing of its allocations: what may be run again is run, the rest has ended."""
    with tempfile.TemporaryDirectory() as storage:
        _goes_on(version, {"path": f"{storage}/{{owner}}/{{namespace}}/{{claim}}", "default": True})


def _goes_on(version: int, storage_class: dict[str, Any]) -> None:
    settings = {"heartbeat": "1s", "fenceAfter": "3s", "retention": {"pods": "36500d"}}
    site = Faulty({**settings, "storage": {"storageClasses": {"scratch": storage_class}}})
    site.state.mkdir(0o700)
    shutil.copy(DATABASES[version], site.state / "farnode.db")
    with site, site.client("admin") as client:
        assert {pod.uid for pod in client.pods()} == set(PODS.values())
        wait_until(lambda: all(pod.ended for pod in client.pods()), "all pods end", 25)
        kept = ["data"] if version >= 2 else []
        wait_until(lambda: [claim["name"] for claim in client.claims()] == kept, "claims that are to go are gone")
        ends = {pod.name: (pod.phase, pod.reason, pod.attempt) for pod in client.pods()}
    once = ("Succeeded", "", 1)
    assert ends == {
        **dict.fromkeys(("images", "queued", "wanted", "submitted", "ended"), once),
        "never": ("Failed", "RunnerLost", 1),
        "again": ("Succeeded", "", 2),
    }
