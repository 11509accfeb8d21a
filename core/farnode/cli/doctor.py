"""farnode doctor."""

from __future__ import annotations

from pathlib import Path

import click

from farnode.cli.configured import configured
from farnode.errors import Invalid

_MARKS = {"ok": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


@click.command()
@configured("The gateway's")
def doctor(path: Path) -> None:
    """Examine a site before its gateway is started: what works, what does not, what to do. Exit 1 when something fails.

    \b
    farnode doctor -c gateway.yaml
    """
    try:
        from farnode.gateway.doctor import examining
    except ModuleNotFoundError as error:
        raise Invalid("doctor", f"{error.name} is not installed: pip install 'farnode[server]'") from None
    failed = False
    for finding in examining(path):
        mark, colour = _MARKS[finding.state]
        click.echo(f"{click.style(f'{mark:4}', fg=colour)}  {finding.name}: {finding.words}")
        if finding.advice and finding.state != "ok":
            click.echo(f"      {finding.advice}")
        failed |= finding.state == "fail"
    if failed:
        raise click.exceptions.Exit(1)
