"""farnode sites."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
import click

from farnode.cli import inventory, tables
from farnode.cli.connection import run
from farnode.cli.settings import Settings, connected
from farnode.client.aio import AsyncClient
from farnode.client.config import Sites
from farnode.client.site import Site
from farnode.errors import FarnodeError
from farnode.model.api import SiteView


@click.command()
@connected
@click.option("-o", "--output", type=click.Choice(["wide", "json", "yaml"]), help="With offers; or data.")
def sites(output: str | None) -> None:
    """The configured sites: how they are, what they offer and how long their queues are.

    \b
    farnode sites
    farnode sites -o wide              with what each offers
    farnode sites --site leonardo -o yaml
    """
    settings = Settings.current()
    known = settings.sites()
    chosen = [known.choose(settings.site)] if settings.site else list(known.sites.values())
    if not chosen:
        known.choose(None)
    found = run(lambda: _ask(chosen))
    if output in ("json", "yaml"):
        views = [view if isinstance(view, Mapping) else {"name": name, "problem": str(view)} for name, view in found]
        click.echo(tables.data(views, output))
        return
    click.echo(tables.columns([inventory.HEADING, *(inventory.row(*item, name_default(known)) for item in found)]))
    if output == "wide":
        for name, view in found:
            if isinstance(view, Mapping) and view.get("offers"):
                click.echo(f"\n{name}:\n" + tables.columns(inventory.offers(view)))


def name_default(known: Sites) -> str | None:
    """The name of the site used when none is given."""
    return known.default or (next(iter(known.sites)) if len(known.sites) == 1 else None)


async def _ask(chosen: list[Site]) -> list[tuple[str, SiteView | FarnodeError]]:
    answers: dict[str, SiteView | FarnodeError] = {}

    async def ask(site: Site) -> None:
        try:
            async with AsyncClient(site, patience=0) as client:
                answers[site.name] = await client.site()
        except FarnodeError as error:
            answers[site.name] = error

    async with anyio.create_task_group() as tasks:
        for site in chosen:
            tasks.start_soon(ask, site)
    return [(site.name, answers[site.name]) for site in chosen]
