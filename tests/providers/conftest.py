from __future__ import annotations

from pathlib import Path

import pytest

from tests.providers.helpers import FakeTools


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def tools(tmp_path: Path) -> FakeTools:
    return FakeTools(tmp_path / "tools")
