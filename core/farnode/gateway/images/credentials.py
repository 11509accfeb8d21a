"""Logins of registries, out of docker's config.json: files of the site's, and Secrets that come with a pod.

Source of their meaning: Kubernetes, "Images > Interpretation of config.json".
"""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from farnode.errors import Invalid
from farnode.gateway.images.errors import ImageError
from farnode.gateway.images.reference import Reference
from farnode.model.bundle import Bundle
from farnode.model.inputs import Input

_HUB_KEYS = ("docker.io", "index.docker.io", "registry-1.docker.io")
_KEYS = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
"""Where Secrets of these types have their logins."""


@dataclass(frozen=True, slots=True)
class Login:
    """For repositories at or below `scope` (`registry` or `registry/path`; `*` stands for a label of the host)."""

    scope: str
    user: str
    password: str = field(repr=False)

    def covers(self, reference: Reference) -> bool:
        host, _, path = self.scope.partition("/")
        labels, wanted = reference.registry.split("."), host.split(".")
        if len(labels) != len(wanted) or not all(map(fnmatchcase, labels, wanted)):
            return False
        return not path or reference.repository == path or reference.repository.startswith(f"{path}/")


def load(files: Iterable[Path]) -> tuple[Login, ...]:
    """The site's. Invalid names a file that cannot be used, above all one that others can read."""
    return tuple(login for path in files for login in _read(path))


def of_pod(bundle: Bundle) -> tuple[Login, ...]:
    """Those of the pod's imagePullSecrets, as far as they came with it; `absent` names the rest. ImageError names a
    Secret that holds no logins."""
    found = [(name, secret) for name in _named(bundle) if (secret := bundle.secrets.get(name)) is not None]
    return tuple(login for name, secret in found for login in _out_of(name, secret))


def absent(bundle: Bundle) -> tuple[str, ...]:
    return tuple(name for name in _named(bundle) if name not in bundle.secrets)


def fitting(logins: Iterable[Login], reference: Reference) -> tuple[Login, ...]:
    """Those that cover the image, the longest scope first."""
    return tuple(sorted((one for one in logins if one.covers(reference)), key=lambda one: -len(one.scope)))


def _named(bundle: Bundle) -> tuple[str, ...]:
    return tuple(dict.fromkeys(bundle.pod.image_pull_secrets))


def _read(path: Path) -> Iterator[Login]:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Invalid("images.pullSecrets", f"{path} can be read by others; accepted: mode 0600 (chmod 600)")
        yield from _logins(json.loads(path.read_text())["auths"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid("images.pullSecrets", f"{path} is not docker's config.json with auths: {error}") from error


def _out_of(name: str, secret: Input) -> list[Login]:
    """Nothing of the Secret's content is in the words: it could be a password in the wrong place."""
    try:
        content = json.loads(secret.data[_KEYS[secret.type]])
        return list(_logins(content["auths"] if secret.type == "kubernetes.io/dockerconfigjson" else content))
    except (ValueError, KeyError, TypeError, AttributeError):
        words = f"the Secret {name!r} holds no logins of registries; accepted: type {' or '.join(_KEYS)}"
        raise ImageError("ErrImagePull", f"spec.imagePullSecrets: {words}") from None


def _logins(entries: Mapping[str, Any]) -> Iterator[Login]:
    for key, entry in entries.items():
        yield _login(key, entry)


def _login(key: str, entry: Mapping[str, Any]) -> Login:
    scope = key.partition("://")[2] or key
    scope = scope.rstrip("/").removesuffix("/v1").removesuffix("/v2")
    host, slash, path = scope.partition("/")
    scope = f"{'docker.io' if host in _HUB_KEYS else host}{slash}{path}"
    if "auth" in entry:
        user, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        return Login(scope, user, password)
    return Login(scope, entry["username"], entry["password"])
