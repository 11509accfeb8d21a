"""Logs on the spool, when no runner serves them any more."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from farnode.errors import Invalid, NotFound
from farnode.gateway.logs import read
from farnode.gateway.records import PodRecord, Stage
from farnode.gateway.spool import Spool
from farnode.wire.crilog import timestamp


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    return Spool(tmp_path_factory.mktemp("spool"), "gateway")


def ended(count: int, container_id: str = "", **fields: Any) -> PodRecord:
    """A pod whose container has restarted so often, in all its attempts."""
    main = {"name": "main", "restartCount": count, "containerID": container_id}
    status = {"phase": "Failed", "containerStatuses": [main]}
    known: dict[str, Any] = {"attempt": 1, "nonce": "n0nce", **fields}
    return PodRecord("u1", "alice", 0.0, Stage.ENDED, status, "process", **known)


@pytest.fixture
def written(spool: Spool) -> Path:
    spool.remove_pod("n0nce", "u1")
    directory = spool.directory("n0nce") / "pods" / "u1"
    directory.mkdir(parents=True)
    return directory


def write(directory: Path, name: str, *lines: str) -> None:
    (directory / name).write_bytes(b"".join(timestamp(0) + b" stdout F " + line.encode() + b"\n" for line in lines))


def text(spool: Spool, pod: PodRecord, **options: Any) -> str:
    async def whole() -> str:
        chosen: Any = options
        return b"".join([chunk async for chunk in read(spool, pod, "main", chosen)]).decode()

    return asyncio.run(whole())


def test_all_files_of_a_run_are_one_log(spool: Spool, written: Path) -> None:
    for name, line in ((".9", "one"), (".10", "two"), ("", "three")):
        write(written, f"1.main.0.log{name}", line)
    write(written, "1.main.1.log", "another run")
    assert text(spool, ended(0)) == "one\ntwo\nthree\n"
    assert text(spool, ended(0), tail=2) == "two\nthree\n"
    assert text(spool, ended(0), limit=5) == "one\nt"


def test_the_run_before(spool: Spool, written: Path) -> None:
    write(written, "1.main.2.log", "before")
    write(written, "1.main.3.log", "last")
    assert (text(spool, ended(3)), text(spool, ended(3), previous=True)) == ("last\n", "before\n")


def test_runs_of_a_later_attempt_are_counted_on(spool: Spool, written: Path) -> None:
    write(written, "2.main.4.log", "first run of the second attempt")
    write(written, "2.main.5.log", "second run of it")
    again = ended(5, attempt=2, restarts={"main": 4})
    assert text(spool, again) == "second run of it\n"
    assert text(spool, again, previous=True) == "first run of the second attempt\n"
    with pytest.raises(NotFound, match="no earlier run"):
        text(spool, ended(4, attempt=2, restarts={"main": 4}), previous=True)


def test_names_the_runner_told_of_need_not_be_listed(spool: Spool, written: Path) -> None:
    write(written, "1.main.0.log.1", "told")
    write(written, "1.main.0.log", "too")
    assert text(spool, ended(0, logs={"1.main.0.log": 9, "1.main.0.log.1": 9, "1.other.0.log": 9})) == "told\ntoo\n"


def test_a_log_without_a_byte_has_no_file(spool: Spool) -> None:
    assert text(spool, ended(0, logs={"1.main.0.log": 0})) == ""


def test_a_run_that_wrote_nothing_before_its_runner_was_killed(spool: Spool, written: Path) -> None:
    """Nobody told of its log, and there is no file."""
    lost = ended(1, "farnode://u1/1/main/1")
    assert (text(spool, lost), text(spool, lost, previous=True)) == ("", "")
    spool.remove_pod("n0nce", "u1")
    assert text(spool, lost) == ""
    with pytest.raises(NotFound):
        text(spool, ended(1, "farnode://u1/1/main/1", nonce="removed"))


def test_a_log_that_is_gone(spool: Spool, written: Path) -> None:
    with pytest.raises(NotFound, match=r"1\.main\.0\.log is not kept any more"):
        text(spool, ended(0))
    with pytest.raises(NotFound):
        text(spool, ended(0, "farnode://u1/1/main/0", logs={"1.main.0.log": 9}))
    spool.remove_pod("n0nce", "u1")
    with pytest.raises(NotFound):
        text(spool, ended(0))


def test_a_container_that_never_ran(spool: Spool) -> None:
    with pytest.raises(Invalid, match="has not started yet"):
        text(spool, ended(0, attempt=0))
