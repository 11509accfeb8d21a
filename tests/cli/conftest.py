from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from farnode.cli import main
from tests.client.fake import Gateway, running
from tests.sites.fixtures import embedded_site

__all__ = ["embedded_site"]


class Shell:
    """farnode with a gateway configured, in this process or as one of its own."""

    def __init__(self, gateway: Gateway, home: Path) -> None:
        self.gateway = gateway
        self.home = home
        self.config = home / "config.yaml"
        entries = [
            {"name": name, "url": gateway.address, "tokenFile": str(gateway.token(token))}
            for name, token in (("lab", "alice"), ("boss", "admin"))
        ]
        self.config.write_text(yaml.safe_dump({"default": "lab", "sites": entries}))

    def __call__(self, *words: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main, list(words), input=stdin, env={"FARNODE_CONFIG": str(self.config)})

    def file(self, name: str, *documents: Any) -> str:
        path = self.home / name
        path.write_text(yaml.safe_dump_all(documents))
        return str(path)

    @contextmanager
    def popen(self, *words: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Killed where the test fails."""
        environment = {**os.environ, "FARNODE_CONFIG": str(self.config)}
        argv = [sys.executable, "-m", "farnode.cli", *words]
        with subprocess.Popen(argv, env=environment, **options) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise


@pytest.fixture
def shell() -> Iterator[Shell]:
    with tempfile.TemporaryDirectory() as directory, running(Path(directory)) as gateway:
        yield Shell(gateway, Path(directory))
