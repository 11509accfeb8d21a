from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from farnode.gateway.config import Images
from farnode.gateway.images import ImageStore
from tests.gateway.images.registry import PASSWORD, USER, FakeRegistry
from tests.gateway.images.user import User

APPTAINER = """\
#!/bin/sh
# apptainer as far as its command line goes: makes what it was asked for, and says who asked
echo "$*" >> "$FAKE/calls"
env > "$FAKE/environment"
for word; do target=$source; source=$word; done
cat "${source#oci:}/index.json" >> "$FAKE/calls"; echo >> "$FAKE/calls"
[ -e "$FAKE/fail" ] && { echo "\\033[91mFATAL:\\033[0m   no space left on device"; exit 255; }
[ -e "$FAKE/hang" ] && { echo $$ > "$FAKE/hang"; exec sleep 600; }
echo layers > "$target"
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    fake = FakeRegistry()
    async with fake.served():
        yield fake


@pytest.fixture
async def other() -> AsyncIterator[FakeRegistry]:
    """At another address."""
    fake = FakeRegistry()
    async with fake.served():
        yield fake


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a fake apptainer: `calls` lists its calls; `fail` and `hang` are switches."""
    directory = tmp_path / "fake"
    directory.mkdir()
    program = directory / "apptainer"
    program.write_text(APPTAINER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(directory))
    return directory


@pytest.fixture
def login(tmp_path: Path, registry: FakeRegistry) -> Path:
    path = tmp_path / "config.json"
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    path.write_text(json.dumps({"auths": {f"http://{registry.address}/v2/": {"auth": auth}}}))
    path.chmod(0o600)
    return path


@pytest.fixture
def make(tmp_path: Path, registry: FakeRegistry, fake: Path) -> Callable[..., User]:
    """A user of a store on one spool, with these settings."""

    def make(**settings: Any) -> User:
        insecure = {"registries": {registry.address: {"insecure": True}}, **settings}
        return User(ImageStore(Images.model_validate(insecure), tmp_path / "images"))

    return make
