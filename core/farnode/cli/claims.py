"""farnode claims: the storage that pods share and that outlives them."""

from __future__ import annotations

import time

import click

from farnode.cli import tables, words
from farnode.cli.connection import call
from farnode.cli.settings import connected
from farnode.client.aio import AsyncClient
from farnode.model.api import ClaimView

HEADING = ["NAMESPACE", "NAME", "STATUS", "CLASS", "SIZE", "USED BY", "AGE", "PATH"]
_GIB = 1 << 30


@click.group(invoke_without_command=True)
@connected
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="For programs.")
@click.pass_context
def claims(context: click.Context, output: str | None) -> None:
    """List your persistent volume claims at the site, or delete one.

    A claim is made when the first pod uses it. It stays until it is deleted.

    \b
    farnode claims
    farnode claims delete -n default data
    """
    if context.invoked_subcommand is None:
        found = call(lambda client: client.claims())
        click.echo(tables.data(found, output) if output else _table(found))


@claims.command()
@connected
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("-n", "--namespace", default="default", show_default=True, help="Of the pods that used it.")
@click.option("--owner", help="Another one's, for administrators.")
def delete(names: tuple[str, ...], namespace: str, owner: str | None) -> None:
    """Delete claims that no pod uses, with what is in them where their storage class says so."""
    call(lambda client: _delete(client, names, namespace, owner))


async def _delete(client: AsyncClient, names: tuple[str, ...], namespace: str, owner: str | None) -> None:
    for name in names:
        gone = await client.delete_claim(name, namespace, owner)
        kept = f"; {gone['path']} is kept" if gone.get("reclaim") == "retain" else ""
        click.echo(f"claim {namespace}/{name} deleted{kept}")


def _table(found: list[ClaimView]) -> str:
    return tables.columns([HEADING, *map(_row, found)])


def _row(claim: ClaimView) -> list[str]:
    return [
        claim["namespace"],
        claim["name"],
        "Terminating" if claim["deleting"] else "Bound" if claim["ready"] else "Pending",
        claim["storageClass"],
        f"{claim['size'] / _GIB:.3g}Gi",
        f"{len(claim['usedBy'])} pods" if len(claim["usedBy"]) != 1 else "1 pod",
        words.age(claim["createdAt"], time.time()),
        claim["path"],
    ]
