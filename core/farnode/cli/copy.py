"""farnode cp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import click

from farnode.cli.connection import call
from farnode.cli.settings import connected
from farnode.client.aio import AsyncClient


class Place(NamedTuple):
    """A path here (`pod` None) or in a pod."""

    pod: str | None
    path: str


@click.command("cp")
@connected
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option("-c", "--container", metavar="NAME", help="In this container.  [default: the pod's first]")
@click.option("--no-preserve", is_flag=True, help="To a pod: with the modes of new files, not those of the copied.")
def copy(source: str, target: str, container: str | None, no_preserve: bool) -> None:
    """Copy files and directories to and from a container, by its own tar.

    One of the two is POD:PATH. To a pod, what is copied goes into TARGET where that is a directory, and is called
    TARGET else. From a pod, a file does likewise; of a directory the content goes into TARGET.

    \b
    farnode cp model.py train:/work/
    farnode cp train:/work/results ./results
    """
    there, here = place(source), place(target)
    if (there.pod is None) == (here.pod is None):
        raise click.UsageError("one of SOURCE and TARGET must be POD:PATH, and the other a path here")

    async def work(client: AsyncClient) -> Sequence[str]:
        if here.pod is not None:
            pod = await client.pod(here.pod)
            return await client.copy_to(pod, there.path, here.path, container, preserve=not no_preserve)
        assert there.pod is not None
        return await client.copy_from(await client.pod(there.pod), there.path, here.path, container)

    for words in call(work):
        click.echo(f"left out: {words}", err=True)


def place(text: str) -> Place:
    """POD:PATH, or a path here: one that begins with a dot or a slash is always that."""
    pod, colon, path = text.partition(":")
    if not colon or text.startswith((".", "/")):
        return Place(None, text)
    if not pod or not path:
        raise click.UsageError(f"{text!r} is not [NAMESPACE/]POD:PATH")
    return Place(pod, path)
