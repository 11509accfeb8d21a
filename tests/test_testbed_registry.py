"""The testbed's registry, asked from this machine: no site is needed for it."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.testbed import Registry
from tests.testbed.registry import PASSWORD, USER

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("apt-get") is None, reason="the testbed needs root on a Debian machine"
    ),
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def ask(registry: Registry, trusted: Path | None, login: str = "") -> int:
    """The status of a question to it."""
    request = urllib.request.Request(f"https://{registry.name}/v2/")
    if login:
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    context = ssl.create_default_context(cafile=trusted)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            status: int = answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    return status


def test_https_with_an_authority_of_its_own_and_a_login(tmp_path: Path) -> None:
    with Registry(tmp_path, port=free_port(), tls=True, login=True) as registry:
        with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
            ask(registry, None)
        assert ask(registry, registry.ca_file) == 401
        assert ask(registry, registry.ca_file, f"{USER}:{PASSWORD}") == 200
