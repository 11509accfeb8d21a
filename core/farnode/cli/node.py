"""farnode node: virtual nodes of a Kubernetes cluster."""

from __future__ import annotations

from pathlib import Path

import click

from farnode.cli.configured import configured
from farnode.errors import Invalid


@click.command()
@configured("The nodes'")
@click.option("--address", metavar="IP", help="Where the API server reaches the kubelet API; else kubelet.address.")
def node(path: Path, address: str | None) -> None:
    """Show sites to a Kubernetes cluster as virtual nodes, until SIGTERM or Ctrl-C; pods go on without it.

    \b
    farnode node -c node.yaml
    """
    try:
        from farnode.node import main
    except ModuleNotFoundError as error:
        raise Invalid("node", f"{error.name} is not installed: pip install 'farnode[node]'") from None
    main.serve(path, address)
