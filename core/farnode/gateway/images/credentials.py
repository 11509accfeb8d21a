"""Logins of registries, from files in docker's config.json format: what a Secret of type dockerconfigjson holds."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farnode.errors import Invalid
from farnode.gateway.images.reference import Reference

_HUB_KEYS = ("docker.io", "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, slots=True)
class Login:
    """For repositories at or below `scope` (`registry` or `registry/path`)."""

    scope: str
    user: str
    password: str = field(repr=False)


def load(files: Iterable[Path]) -> tuple[Login, ...]:
    """Invalid names a file that cannot be used, above all one that others can read."""
    return tuple(login for path in files for login in _read(path))


def choose(logins: Iterable[Login], reference: Reference) -> Login | None:
    """The one with the longest scope that covers the image, the first of them."""
    name = f"{reference.registry}/{reference.repository}"
    fitting = [login for login in logins if name == login.scope or name.startswith(f"{login.scope}/")]
    return max(fitting, key=lambda login: len(login.scope), default=None)


def _read(path: Path) -> Iterator[Login]:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Invalid("images.pullSecrets", f"{path} can be read by others; accepted: mode 0600 (chmod 600)")
        entries = json.loads(path.read_text())["auths"].items()
        yield from (_login(key, entry) for key, entry in entries)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid("images.pullSecrets", f"{path} is not docker's config.json with auths: {error}") from error


def _login(key: str, entry: dict[str, Any]) -> Login:
    scope = key.partition("://")[2] or key
    scope = scope.rstrip("/").removesuffix("/v1").removesuffix("/v2")
    host, slash, path = scope.partition("/")
    scope = f"{'docker.io' if host in _HUB_KEYS else host}{slash}{path}"
    if "auth" in entry:
        user, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        return Login(scope, user, password)
    return Login(scope, entry["username"], entry["password"])
