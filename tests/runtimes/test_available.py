from __future__ import annotations

from pathlib import Path

import pytest

from farnode.runner.runtimes.available import KNOWN, available


def test_only_what_the_site_wants_is_tried(tmp_path: Path) -> None:
    environ = {"FARNODE_ALLOCATION": str(tmp_path), "FARNODE_RUNTIMES": "process:no-such"}
    found = available(environ)
    assert list(found.runtimes) == list(found.versions) == ["process"]
    assert found.problems == {}


def test_what_does_not_work_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = available({})
    assert not list(tmp_path.iterdir())
    assert found.runtimes.keys() | found.problems.keys() == set(KNOWN)
    assert found.versions["process"].startswith("Linux ")
    assert all(found.problems.values())
