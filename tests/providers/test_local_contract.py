"""The embedded site keeps the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from farnode.providers.local import LocalProvider
from farnode.providers.port import Site
from farnode.testing import JOB_SCRIPT, Bench, ProviderContract


@dataclass
class LocalBench:
    provider: LocalProvider
    root: Path
    patience: float = 20.0

    def directory(self, name: str) -> tuple[str, Path]:
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return str(path), path


class TestLocal(ProviderContract):
    @pytest.fixture
    async def bench(self, tmp_path: Path) -> AsyncIterator[Bench]:
        script = tmp_path / "job.sh"
        script.write_text(JOB_SCRIPT)
        provider = LocalProvider.create({"cores": 32, "memory": "8Gi"}, Site("here", script, tmp_path / "state"))
        yield LocalBench(provider, tmp_path / "spool")
        await provider.inventory()
