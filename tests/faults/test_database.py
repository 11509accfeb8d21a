"""Databases of other versions: a newer one is refused in one line, this version's is read whole."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from farnode.gateway.records import Life, Stage
from farnode.gateway.store import VERSION, Store
from tests.faults.fixtures.make import DATABASE, PODS
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
    shutil.rmtree(idle.directory)
    assert done.returncode not in (0, None)
    assert done.returncode > 0
    words = [line for line in (done.stdout + done.stderr).splitlines() if line]
    assert len(words) == 1, words
    assert "newer farnode" in words[0]
    assert str(database) in words[0]
    assert f"schema {VERSION + 1}" in words[0]
    assert database.name not in (path.name for path in idle.directory.glob("*"))
    assert before, "the refused database was there"


def test_what_is_refused_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "newer.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE future (x)")
        db.execute(f"PRAGMA user_version={VERSION + 1}")
    db.close()
    with pytest.raises(Exception, match="newer farnode"):
        Store(path)
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("future",)]
    db.close()


def test_every_record_of_version_1_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "farnode.db"
    shutil.copy(DATABASE, path)
    store = Store(path)
    loaded = store.load()
    assert {pod.stage for _, pod in loaded.pods} == set(Stage)
    assert {allocation.life for allocation in loaded.allocations} >= {Life.SUBMITTED, Life.RUNNING, Life.ENDED}
    assert {pod.uid for _, pod in loaded.pods} == set(loaded.bundles) == set(PODS)
    assert loaded.gone
    assert loaded.settings == {"draining": ""}
    assert store.usage()
    store.close()


def test_a_gateway_goes_on_with_a_database_of_version_1(idle: Faulty) -> None:
    """The batch system knows nothing of its allocations: what may be run again is run, the rest has ended."""
    shutil.copy(DATABASE, idle.state / "farnode.db")
    with idle as site, site.client("admin") as client:
        assert {pod.uid for pod in client.pods()} == set(PODS)
        wait_until(lambda: all(pod.ended for pod in client.pods()), "all pods end", 60)
        ends = {pod.uid: (pod.phase, pod.reason) for pod in client.pods()}
        assert ends == {
            PODS["images"]: ("Succeeded", ""),
        } or ends
