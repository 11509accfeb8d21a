"""farnode gateway …: for whoever keeps the service at the edge of a site."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from farnode.cli import inventory, tables
from farnode.cli.configured import configured
from farnode.cli.connection import BRIEF, run
from farnode.cli.settings import Settings
from farnode.client.aio import AsyncClient
from farnode.errors import FarnodeError, Invalid
from farnode.model.api import SiteView

T = TypeVar("T")
_configured = configured("The gateway's")


@click.group()
def gateway() -> None:
    """Start, drain and stop the service at a site; issue tokens for it.

    \b
    farnode gateway start -c gateway.yaml
    farnode gateway token -c gateway.yaml --owner alice --out alice.token
    farnode gateway token -c gateway.yaml --role cluster --owner physics --out physics.token
    farnode gateway revoke -c gateway.yaml 5179cf0a3655
    farnode gateway drain -c gateway.yaml
    farnode gateway stop --all -c gateway.yaml
    """


@gateway.command()
@_configured
def start(path: Path) -> None:
    """Serve until SIGTERM or Ctrl-C; pods go on without a gateway.

    \b
    farnode gateway start -c gateway.yaml
    """
    _server().serve(path)


@gateway.command()
@_configured
@click.option("--owner", required=True, metavar="NAME", help="Whose pods the bearer sees.")
@click.option(
    "--role",
    type=click.Choice(["user", "admin", "cluster"]),
    default="user",
    show_default=True,
    help="admin: sees all owners' pods, may drain and stop. cluster: a Kubernetes cluster's node, NAME its name here; "
    "the owner of a pod is NAME/namespace.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file, mode 0600.")
def token(path: Path, owner: str, role: str, out: Path | None) -> None:
    """Issue a token; it is shown once.

    \b
    farnode gateway token -c gateway.yaml --owner alice --out alice.token
    farnode gateway token -c gateway.yaml --role cluster --owner physics --out physics.token
    """
    if out is None:
        click.echo(_server().issue_token(path, owner, role))
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Invalid("--out", f"{out}: {error.strerror}") from None
    with os.fdopen(descriptor, "w") as file:
        try:
            file.write(_server().issue_token(path, owner, role) + "\n")
        except FarnodeError:
            out.unlink()
            raise


@gateway.command()
@_configured
def tokens(path: Path) -> None:
    """List the tokens that open this gateway, by id; what they are is not kept.

    \b
    farnode gateway tokens -c gateway.yaml
    """
    for record in _server().tokens(path).list():
        issued = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(record.created))
        click.echo(f"{record.id}  {record.role:7}  {record.owner}  issued {issued}")


@gateway.command()
@_configured
@click.argument("token_id", metavar="ID")
def revoke(path: Path, token_id: str) -> None:
    """Revoke a token by its id, as `tokens` lists it; at once, also for a gateway that runs.

    \b
    farnode gateway revoke -c gateway.yaml 5179cf0a3655
    """
    record = _server().tokens(path).revoke(token_id)
    click.echo(f"token {record.id} of {record.owner} revoked")


@gateway.command()
@_configured
def status(path: Path) -> None:
    """How it is and what it offers.

    \b
    farnode gateway status -c gateway.yaml
    """
    _print(_ask(path, lambda client: client.site()))


@gateway.command()
@_configured
def drain(path: Path) -> None:
    """Take no new pods; those there go on.

    \b
    farnode gateway drain -c gateway.yaml
    """
    _print(_ask(path, lambda client: client.drain()))


@gateway.command()
@_configured
def undrain(path: Path) -> None:
    """Take pods again.

    \b
    farnode gateway undrain -c gateway.yaml
    """
    _print(_ask(path, lambda client: client.drain(False)))


@gateway.command()
@_configured
@click.option("--all", "everything", is_flag=True, required=True, help="Needed: this ends what others run here.")
def stop(path: Path, everything: bool) -> None:  # noqa: ARG001 - asked for so that nobody stops a site by accident
    """End every pod and every allocation, and take no new ones.

    \b
    farnode gateway stop --all -c gateway.yaml
    """
    click.echo(f"ending {_ask(path, lambda client: client.stop())} pods")


def _ask(path: Path, work: Callable[[AsyncClient], Coroutine[Any, Any, T]]) -> T:
    """With the entry the gateway wrote for this account when it started."""
    from farnode.gateway.config import load

    name = load(path).site

    async def inside() -> T:
        async with AsyncClient(Settings.current().sites().choose(name), patience=BRIEF) as client:
            return await work(client)

    return run(inside)


def _print(view: SiteView) -> None:
    click.echo(tables.columns([inventory.HEADING, inventory.row(view.get("name", ""), view, None)]))
    if view.get("offers"):
        click.echo("\n" + tables.columns(inventory.offers(view)))


def _server() -> Any:
    """The server's room, imported only here: clients do without its dependencies."""
    try:
        from farnode.gateway import main
    except ModuleNotFoundError as error:
        raise Invalid("gateway", f"{error.name} is not installed: pip install 'farnode[server]'") from None
    return main
