"""The life of a batch site in a box: an edge with slurmctld behind NAT, and compute nodes that are hosts of their own.

Everything a site is made of carries its index in its name or lies in its directory, and nothing is known only to the
Python process that brought it up: another process can attach, use it and take it down.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.testbed import build, host, provision
from tests.testbed.host import TestbedError
from tests.testbed.machine import start_time
from tests.testbed.running import RunningSite
from tests.testbed.slurm import SiteSpec

log = logging.getLogger(__name__)

INDICES = 100


class SlurmSite(RunningSite):
    """One site; a context manager that brings it up and takes it down."""

    @classmethod
    def attach(cls, index: int = 0) -> Self:
        """The site of this index that some process has brought up."""
        site = cls(SiteSpec(index=index))
        record = site._record()
        if record is None or not site.is_up():
            raise TestbedError(f"no site of index {index} is up")
        return cls(SiteSpec(**{**record["spec"], "extra_conf": tuple(record["spec"]["extra_conf"])}))

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self, *, keep: bool = False) -> None:
        """Bring the site up and wait until all its nodes are idle.

        With ``keep`` it stays when this process ends; otherwise the next ``up`` of the same index may clear it away.
        """
        host.require()
        base = build.root_file_system()
        with host.locked(self.spec.name):
            self._refuse_if_used()
            self._clear()
            try:
                self._create(base, keep=keep)
            except BaseException:
                self._clear()
                raise
        log.info("site %s is up: %d nodes", self.spec.name, self.spec.nodes)

    def down(self) -> None:
        """End everything of the site and remove its files."""
        with host.locked(self.spec.name):
            self._clear()

    def claim(self) -> bool:
        """Reserve the index for this process if nobody has it."""
        with host.locked(self.spec.name):
            if self._user() is not None:
                return False
            self._clear()
            self._write_record([os.getpid(), start_time(os.getpid())])
        return True

    def _user(self) -> str | None:
        """Who has the index, in words; None for nobody or the remains of a process that is gone."""
        record = self._record()
        if record is None:
            return None
        if record["owner"] is None:
            return "was asked to stay" if self.is_up() else None
        pid, started = record["owner"]
        return f"belongs to process {pid}" if start_time(pid) == started else None

    def _refuse_if_used(self) -> None:
        record = self._record()
        claimed = record is not None and record["owner"] is not None and record["owner"][0] == os.getpid()
        if (user := self._user()) and (self.is_up() or not claimed):
            raise TestbedError(f"the site of index {self.spec.index} {user}: take it down or use another index")

    def _record(self) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads((self.directory / "site.json").read_text())
        except FileNotFoundError:
            return None
        return record

    def _write_record(self, owner: list[int | None] | None) -> None:
        self.directory.mkdir(parents=True)
        new = self.directory / "site.json.new"
        new.write_text(json.dumps({"spec": asdict(self.spec), "owner": owner}))
        new.rename(self.directory / "site.json")

    def _clear(self) -> None:
        for machine in self._machines.values():
            machine.kill()
        self.registry.stop()
        self.network.delete()
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def _create(self, base: Path, *, keep: bool) -> None:
        self._write_record(None if keep else [os.getpid(), start_time(os.getpid())])
        provision.write(self.spec, self.directory, base)
        self.network.create()
        if self.spec.registry:
            self.registry.start()
        self.machine().start(provision.edge(self.spec, self.directory, base))
        for i in range(1, self.spec.nodes + 1):
            self._start_node(i)
        self.wait_idle()


def free_index() -> int:
    """An index nobody uses, reserved for this process until it ends or takes its site down."""
    return next(i for i in range(INDICES) if SlurmSite(SiteSpec(index=i)).claim())


def indices_up() -> list[int]:
    return [i for i in range(INDICES) if SlurmSite(SiteSpec(index=i)).is_up()]
