"""Options every command has. They may stand before or after the command's name, as kubectl's may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from farnode.client import config
from farnode.client.config import Sites
from farnode.client.site import Site

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Settings:
    """`site` None: the default one; `config` None: the usual file."""

    site: str | None = None
    config: Path | None = None

    @staticmethod
    def current() -> Settings:
        """Those of the command being run."""
        found = click.get_current_context().find_root().obj
        return found if isinstance(found, Settings) else Settings()

    def sites(self) -> Sites:
        return config.load(self.config)

    def chosen(self) -> Site:
        """Invalid when there is no such site, or none at all."""
        return self.sites().choose(self.site)


def connected(command: F) -> F:
    """Adds --site and --config."""
    command = click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        expose_value=False,
        callback=_keep,
        help="File of sites.  [default: $FARNODE_CONFIG or ~/.config/farnode/config.yaml]",
    )(command)
    return click.option(
        "--site", metavar="NAME", expose_value=False, callback=_keep, help="Site to use.  [default: the file's]"
    )(command)


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value is not None and option.name is not None:
        context.find_root().obj = replace(_held(context), **{option.name: value})


def _held(context: click.Context) -> Settings:
    found = context.find_root().obj
    return found if isinstance(found, Settings) else Settings()
