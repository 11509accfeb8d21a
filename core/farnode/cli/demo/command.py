"""farnode demo."""

from __future__ import annotations

import click

from farnode.cli.settings import connected


@click.command()
@connected
def demo() -> None:
    """Run every kind of pod on this machine and compare what was expected with what came."""
