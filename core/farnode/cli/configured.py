"""The option of commands that begin with a service's configuration file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def configured(whose: str) -> Callable[[F], F]:
    """Gives the command `path`; `whose` configuration it is, for the help."""
    return click.option(
        "-c",
        "--config",
        "path",
        required=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=f"{whose} configuration.",
    )
