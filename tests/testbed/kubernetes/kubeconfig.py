"""Kubeconfig files: who somebody is to the API server."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path

import yaml


def write(path: Path, server: str, authority: Path, user: Mapping[str, str], namespace: str = "default") -> Path:
    """A file for its owner's eyes with one context; `user` as in its `users`."""
    cluster = {"server": server, "certificate-authority-data": encoded(authority)}
    context = {"cluster": "testbed", "user": "user", "namespace": namespace}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": cluster}],
        "users": [{"name": "user", "user": dict(user)}],
        "contexts": [{"name": "testbed", "context": context}],
        "current-context": "testbed",
    }
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        yaml.safe_dump(document, file)
    return path


def certificate(directory: Path, name: str) -> dict[str, str]:
    """A user known by the pair `NAME.crt`, `NAME.key`."""
    return {
        "client-certificate-data": encoded(directory / f"{name}.crt"),
        "client-key-data": encoded(directory / f"{name}.key"),
    }


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
