"""farnode attach."""

from __future__ import annotations

from contextlib import nullcontext

import click

from farnode.cli import session, terminal
from farnode.cli.connection import call
from farnode.cli.settings import connected
from farnode.client.aio import AsyncClient
from farnode.client.pod import Pod
from farnode.errors import NotFound


@click.command()
@connected
@click.argument("pod", metavar="POD")
@click.option("-c", "--container", metavar="NAME", help="To this container.  [default: the pod's first]")
@click.option("-i", "--stdin", is_flag=True, help="Pass standard input on, where the container has `stdin`.")
@click.option("-t", "--tty", is_flag=True, help="This terminal is the container's, where it has `tty`.")
def attach(pod: str, container: str | None, stdin: bool, tty: bool) -> None:
    """Watch the main process of a container from now on, and type for it; exit with its code.

    Whoever leaves (Ctrl-C without -t) does not end it. What it wrote before is in its log.

    \b
    farnode attach train
    farnode attach -it shell
    """
    code = call(lambda client: _attach(client, pod, container, stdin, tty))
    raise click.exceptions.Exit(code)


async def _attach(client: AsyncClient, wanted: str, container: str | None, stdin: bool, tty: bool) -> int:
    pod = await client.pod(wanted)
    return (await to_main_process(client, pod, container or pod.default_container, stdin, tty)).code


async def to_main_process(client: AsyncClient, pod: Pod, container: str, stdin: bool, tty: bool) -> session.End:
    """Until it ends. As kubectl: what the container lacks is said, and done without."""
    spec = pod.container_manifest(container)
    if spec is None:
        raise NotFound(f"container {container!r} is not one of: {', '.join([*pod.init_containers, *pod.containers])}")
    if stdin and not spec.get("stdin"):
        click.echo(f"container {container} has no `stdin`: nothing can be typed for it", err=True)
        stdin = False
    if tty and not spec.get("tty"):
        click.echo(f"container {container} has no `tty`: -t is ignored", err=True)
        tty = False
    tty = session.usable_terminal(tty, stdin)
    attached = await client.attach(pod, container, stdin=stdin, stderr=not spec.get("tty"))
    if stdin and tty:
        click.echo("If you don't see a command prompt, try pressing enter.", err=True)
    with terminal.raw() if tty else nullcontext():
        return await session.attend(attached, stdin, tty, redrawn=tty)
