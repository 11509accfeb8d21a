"""farnode port-forward."""

from __future__ import annotations

from collections.abc import Sequence

import click
from anyio.abc import ByteStream

from farnode.cli.connection import LONG, call
from farnode.cli.settings import connected
from farnode.client import forwarding
from farnode.client.aio import AsyncClient
from farnode.client.pod import Pod
from farnode.errors import Invalid, Permanent

_LARGEST = 65535


@click.command("port-forward")
@connected
@click.argument("pod", metavar="POD")
@click.argument("ports", metavar="[LOCAL:]REMOTE...", nargs=-1, required=True)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    default=(forwarding.LOCALHOST,),
    metavar="ADDRESS",
    help="To listen at; may be repeated, or several with commas.  [default: localhost]",
)
def port_forward(pod: str, ports: tuple[str, ...], addresses: tuple[str, ...]) -> None:
    """Let local ports lead to a pod, until Ctrl-C or its end.

    REMOTE is a number or the name of a containerPort; LOCAL 0 or nothing before the colon takes any free one.

    \b
    farnode port-forward notebook 8888
    farnode port-forward notebook 8080:http :9090
    """
    listened = [address for given in addresses for address in given.split(",") if address]
    call(lambda client: _forward(client, pod, ports, listened), LONG)


async def _forward(client: AsyncClient, wanted: str, ports: Sequence[str], addresses: Sequence[str]) -> None:
    pod = await client.pod(wanted)
    pairs = [pair(pod, text) for text in ports]
    if pod.phase != "Running":
        raise Permanent(f"unable to forward port because pod is not running. Current status={pod.phase}")

    async def connect(port: int) -> ByteStream:
        click.echo(f"Handling connection for {port}")
        return await client.forward(pod, port)

    async with forwarding.opened(pairs, addresses, connect, lambda words: click.echo(words, err=True)) as doors:
        for door in doors:
            click.echo(f"Forwarding from {door}")
        await client.wait(pod)
    raise Permanent(f"lost connection to pod {pod}: it has ended")


def pair(pod: Pod, text: str) -> tuple[int, int]:
    """Local and remote port, as kubectl reads them."""
    local, colon, remote = text.partition(":")
    if not colon:
        number = _remote(pod, text)
        return number, number
    if local and not (local.isascii() and local.isdigit() and int(local) <= _LARGEST):
        raise Invalid("port", f"{text!r}: {local!r} is not a number up to {_LARGEST}")
    return int(local or 0), _remote(pod, remote)


def _remote(pod: Pod, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        return _named(pod, text)
    if not 0 < int(text) <= _LARGEST:
        raise Invalid("port", f"{text} is not a port; accepted: 1 to {_LARGEST}")
    return int(text)


def _named(pod: Pod, name: str) -> int:
    manifests = [pod.container_manifest(container) or {} for container in pod.containers]
    ports = {port["name"]: port for one in manifests for port in one.get("ports") or () if port.get("name")}
    if name not in ports:
        known = f"; its ports are {', '.join(sorted(ports))}" if ports else ""
        raise Invalid("port", f"pod {pod} does not have a named port {name!r}{known}")
    return int(ports[name]["containerPort"])
