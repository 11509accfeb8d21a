"""``python -m tests.testbed site up|down|shell``: a site in a box by hand; ``kubernetes up``: a control plane;
``cluster up``: one with a site as its node; ``demo`` shows farnode on a site; ``clean`` removes what was built."""

from __future__ import annotations

import argparse
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.testbed import host, registry
from tests.testbed.machine import USERS
from tests.testbed.site import SlurmSite, free_index, indices_up
from tests.testbed.slurm import SiteSpec, gpus

UP = """\
Site {name} is up: an edge (login node, slurmctld) and {nodes} compute nodes
{gpus}
  users          alice{proj1}, bob{proj2}; homes on this machine below {homes}
  partitions     main (default), short (10 minutes)
  registry       {registry}  ({images}; plain HTTP: apptainer pull --no-https)
  this machine   is 'hub' ({hub}) at the edge; nothing here can connect into the site
  shell          .venv/bin/python -m tests.testbed site shell --index {index} [--user alice|bob|root] [--node n1]
  end            .venv/bin/python -m tests.testbed site down --index {index}

farnode is installed at the edge. In the shell, as alice:
  printf 'site: {name}\\nprovider: slurm\\n' > gateway.yaml
  printf 'images: {{registries: {{"{registry}": {{insecure: true}}}}}}\\n' >> gateway.yaml
  farnode doctor -c gateway.yaml
  farnode gateway start -c gateway.yaml > gateway.log 2>&1 &
  farnode run --image {registry}/farnode/busybox:1 --gpus 1 --command -- sh -c 'hostname; echo $CUDA_VISIBLE_DEVICES'
"""


def up(options: argparse.Namespace) -> int:
    index = free_index() if options.index is None else options.index
    site = SlurmSite(SiteSpec(nodes=options.nodes, accounting=options.accounting, index=index, registry=True))
    site.up(keep=True)
    kinds = {i: ", ".join(f"{n} x {kind}" for kind, n in gpus(i).items()) for i in range(1, options.nodes + 1)}
    print(
        UP.format(
            name=site.spec.name,
            nodes=options.nodes,
            gpus="\n".join(f"  n{i:<13} 16 CPUs, 16000 MB, pretended GPUs: {kind}" for i, kind in kinds.items()),
            proj1=" (account proj1)" if options.accounting else "",
            proj2=" (account proj2)" if options.accounting else "",
            homes=site.home("alice").parent,
            registry=site.registry.name,
            images=", ".join(registry.names()),
            hub=site.network.hub,
            index=index,
        ),
        end="",
    )
    return 0


def chosen(options: argparse.Namespace) -> SlurmSite:
    """The site of ``--index``, or the only one that is up."""
    if options.index is not None:
        return SlurmSite.attach(options.index)
    indices = indices_up()
    if len(indices) != 1:
        raise host.TestbedError(f"sites up: {indices or 'none'}; say which by --index")
    return SlurmSite.attach(indices[0])


def down(options: argparse.Namespace) -> int:
    chosen(options).down()
    return 0


def shell(options: argparse.Namespace) -> int:
    site = chosen(options)
    node = None if options.node is None else int(options.node.removeprefix("n"))
    argv, env = site.machine(node).entering(options.user, options.command or ["bash"], {"TERM": "xterm-256color"})
    return subprocess.call(argv, env=env)


def clean(options: argparse.Namespace) -> int:
    if indices := indices_up():
        raise host.TestbedError(f"sites are up, index {indices}: take them down first")
    shutil.rmtree(host.CACHE, ignore_errors=True)
    return 0


def demo(options: argparse.Namespace) -> int:
    from tests.testbed.demo import demo as show  # which needs farnode installed here, while a site does without

    return show(options.argument)


def kubernetes(options: argparse.Namespace) -> int:
    from tests.testbed.kubernetes.foreground import (
        up as bring_up,  # which needs cryptography, while a site does without
    )

    bring_up()


def cluster(options: argparse.Namespace) -> int:
    from tests.node.foreground import up as bring_up  # which needs farnode installed here

    bring_up(options.announce)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m tests.testbed", description=__doc__)
    things = top.add_subparsers(required=True, metavar="site|kubernetes|cluster|demo|clean")
    site = things.add_parser("site", help="a Slurm site").add_subparsers(required=True, metavar="up|down|shell")

    def add(name: str, action: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = site.add_parser(name, help=text, description=text)
        command.add_argument("--index", type=int, help="which site, when several are up")
        command.set_defaults(action=action)
        return command

    bring = add("up", up, "bring a site up; it stays until it is taken down")
    bring.add_argument("--nodes", type=int, default=2)
    bring.add_argument("--accounting", action="store_true", help="with slurmdbd: accounts, QOS, limits, sacct")
    add("down", down, "end a site and remove its files")
    enter = add("shell", shell, "a shell, or a command, inside a site")
    enter.add_argument("--user", choices=USERS, default="alice")
    enter.add_argument("--node", help="compute node n1, n2, …; the edge when absent")
    enter.add_argument("command", nargs="*", help="instead of a shell, after --")
    plane = things.add_parser("kubernetes", help="a Kubernetes control plane")
    brought = plane.add_subparsers(required=True, metavar="up")
    text = "bring a control plane up; it lasts as long as this command"
    brought.add_parser("up", help=text, description=text).set_defaults(action=kubernetes)
    whole = things.add_parser("cluster", help="a Kubernetes cluster with a site as its node")
    text = "bring a cluster up; it lasts as long as this command"
    bring = whole.add_subparsers(required=True, metavar="up").add_parser("up", help=text, description=text)
    bring.add_argument("--announce", type=Path, help="a file to write when it is up, instead of standard output")
    bring.set_defaults(action=cluster)
    show = things.add_parser("demo", help="farnode demo on a site that is brought up for it, and taken down after")
    show.add_argument("argument", nargs="*", help="for farnode demo, after --")
    show.set_defaults(action=demo)
    things.add_parser("clean", help="remove all that was built").set_defaults(action=clean)
    return top


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = parser().parse_args()
    try:
        action: Callable[[argparse.Namespace], int] = options.action
        return action(options)
    except host.TestbedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
