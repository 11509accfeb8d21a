"""The sites a person has: `~/.config/farnode/config.yaml` (or $FARNODE_CONFIG) and, beside it, `sites.d/<name>.yaml`.

    default: leonardo
    sites:
      - name: leonardo
        url: https://login.example.org:8443
        tokenFile: leonardo.token          # relative to the file it stands in; mode 0600
        fingerprint: "3f:9a:…"             # or caFile: ca.pem

A file of `sites.d` is one such entry; a gateway on the same machine writes its own there when it starts. Where both
name a site, the person's own file wins.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from farnode.client.site import Site
from farnode.errors import Invalid

_KEYS = ("name", "url", "tokenFile", "fingerprint", "caFile")


@dataclass(frozen=True, slots=True)
class Sites:
    """All configured sites, by name; `source` is the file for messages."""

    source: Path
    sites: Mapping[str, Site]
    default: str | None = None

    def choose(self, name: str | None) -> Site:
        """The site of that name; None: the default, or the only one."""
        if not self.sites:
            raise Invalid("site", f"no site is configured in {self.source} or {self.source.parent / 'sites.d'}")
        if name is None:
            name = self.default or (next(iter(self.sites)) if len(self.sites) == 1 else None)
        known = ", ".join(sorted(self.sites))
        if name is None:
            raise Invalid("site", f"several sites and no default in {self.source}; choose one of: {known}")
        if name not in self.sites:
            raise Invalid("site", f"{name!r} is not configured; known: {known}")
        return self.sites[name]


def default_path() -> Path:
    """$FARNODE_CONFIG, else the file in the user's home."""
    named = os.environ.get("FARNODE_CONFIG")
    return Path(named) if named else Path.home() / ".config" / "farnode" / "config.yaml"


def load(path: Path | None = None) -> Sites:
    """Reads both places; a file that does not exist configures nothing. Invalid names the file and the key."""
    source = path or default_path()
    main = _mapping(_read(source), source, "")
    listed = main.get("sites") or []
    if not isinstance(listed, list):
        raise Invalid(f"{source}: sites", "must be a list of sites")
    if unknown := sorted(set(main) - {"sites", "default"}):
        raise Invalid(f"{source}: {unknown[0]}", "is not known; accepted: default, sites")
    sites = {file.stem: _site(_read(file), file, "", file.stem) for file in sorted(_drop_ins(source))}
    own = [_site(entry, source, f"sites[{index}].") for index, entry in enumerate(listed)]
    names = [site.name for site in own]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Invalid(f"{source}: sites", f"{twice!r} is there twice")
    return Sites(source, {site.name: site for site in [*sites.values(), *own]}, _default(main, source))


def _drop_ins(source: Path) -> list[Path]:
    return list((source.parent / "sites.d").glob("*.yaml"))


def _default(main: Mapping[str, Any], source: Path) -> str | None:
    default = main.get("default")
    if default is not None and not isinstance(default, str):
        raise Invalid(f"{source}: default", "must be the name of a site")
    return default


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Invalid(str(path), error.strerror or "cannot be read") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Invalid(str(path), "is not YAML: " + " ".join(str(error).split())) from None


def _mapping(value: Any, source: Path, field: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid(f"{source}{': ' if field else ''}{field}".rstrip("."), "must be a mapping of keys to values")
    return value


def _site(value: Any, source: Path, prefix: str, name: str | None = None) -> Site:
    entry = {"name": name or "", **_mapping(value, source, prefix)}
    for key, given in entry.items():
        if key not in _KEYS:
            raise Invalid(f"{source}: {prefix}{key}", "is not known; accepted: " + ", ".join(_KEYS))
        if not isinstance(given, str):
            raise Invalid(f"{source}: {prefix}{key}", "must be a string")
    if "url" not in entry:
        raise Invalid(f"{source}: {prefix}url", "is missing: unix:/path.sock or https://host:port")
    try:
        return Site(
            name=entry["name"],
            url=entry["url"],
            token_file=_file(entry.get("tokenFile"), source),
            fingerprint=entry.get("fingerprint"),
            ca_file=_file(entry.get("caFile"), source),
        )
    except Invalid as error:
        raise Invalid(f"{source}: {prefix}{error.field}", error.problem) from None


def _file(given: str | None, source: Path) -> Path | None:
    return None if given is None else source.parent / Path(given).expanduser()
