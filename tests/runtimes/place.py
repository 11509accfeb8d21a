"""Where a container can be run as an ordinary user: on this machine, or on a node of a site."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farnode.gateway.pack import pack

DRIVER = Path(__file__).with_name("driver.py")


@dataclass
class Place:
    """A scratch directory of the user `uid`, `path` here and `inside` there. `python(argv, text)` runs a program there
    with that standard input and returns what it printed."""

    path: Path
    inside: str
    uid: int
    runtime: str
    python: Callable[[list[str], str], str]

    def __post_init__(self) -> None:
        (self.path / "runner.pyz").write_bytes(pack())
        shutil.copyfile(DRIVER, self.path / "driver.py")

    def spec(self, argv: list[str], place: str = "container", **changes: Any) -> dict[str, Any]:
        """`place` is the directory for what is the container's own; as of every run, nothing of another is in it."""
        shutil.rmtree(self.path / place / "run", ignore_errors=True)
        made = {name: self.directory(f"{place}/{name}") for name in ("home", "tmp", "shm", "run")}
        self.directory(place, {"termination-log": ""})
        spec = {
            "name": "main",
            "argv_entry": argv,
            "env": {"FARNODE_NONCE": "n0"},
            "working_dir": None,
            "mounts": [],
            "image": {},
            "tty": False,
            "gpus": [],
            "home": made["home"],
            "tmp": made["tmp"],
            "shm": made["shm"],
            "directory": made["run"],
            "hostname": "pod-0",
            "mpi": False,
            "termination_log": [f"{self.inside}/{place}/termination-log", "/dev/termination-log", False],
        }
        return {**spec, **changes}

    def directory(self, name: str, files: dict[str, str] | None = None) -> str:
        """Make a directory of the user's, and say where it is there."""
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        for file, text in (files or {}).items():
            (path / file).write_text(text)
        for each in (path, *path.parents, *path.iterdir()):
            if each.is_relative_to(self.path):
                os.chown(each, self.uid, self.uid, follow_symlinks=False)
        return f"{self.inside}/{name}"

    def run(self, spec: dict[str, Any], **order: Any) -> dict[str, Any]:
        text = json.dumps({"runtime": self.runtime, "spec": spec, **order})
        result: dict[str, Any] = json.loads(
            self.python(["-B", f"{self.inside}/driver.py", f"{self.inside}/runner.pyz"], text)
        )
        return result
