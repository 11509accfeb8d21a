"""The demo on a real Slurm with apptainer: what `scripts/demo --site slurm` runs.

The site is a box of its own, the gateway alice's process on its login node, and the client a person at this machine
who reaches that gateway's socket and nothing else of the site.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.sites import BoxSite, GatewaySite
from tests.testbed import SiteSpec, SlurmSite, free_index

NAME = "slurm"
IMAGES = "/home/alice/images"
NAMES = ("busybox", "python")


def demo(arguments: list[str]) -> int:
    """Bring a site up, run `farnode demo` there, take it down; the demo's exit code."""
    print("bringing up a Slurm site: a login node and two compute nodes with four pretended GPUs each", flush=True)
    with SlurmSite(SiteSpec(index=free_index(), accounting=True, registry=True)) as box:
        fetch_images(box)
        with BoxSite(box, settings(box)) as site, tempfile.TemporaryDirectory(prefix="fn-") as private:
            print(f"alice's gateway serves it; this machine reaches {site.url}\n", flush=True)
            environ = {**os.environ, "FARNODE_CONFIG": str(client_of(site, "alice", Path(private)))}
            argv = [sys.executable, "-m", "farnode.cli", "demo", "--site", NAME, *arguments]
            code = subprocess.call(argv, env=environ)
    print("the site is taken down; nothing of it is left")
    return code


def settings(box: SlurmSite) -> dict[str, Any]:
    """Of the gateway: the site is called as on the command line, and images that examples name are there already, as
    the site has no internet."""
    prepared = {f"docker.io/library/{name}:*": f"{IMAGES}/{name}.sif" for name in NAMES}
    return {"site": NAME, "images": {"registries": {box.registry.name: {"insecure": True}}, "prepared": prepared}}


def fetch_images(box: SlurmSite) -> None:
    """As alice would, by hand, before she starts her gateway."""
    box.run("alice", ["mkdir", "-p", IMAGES])
    for name in NAMES:
        source = f"docker://{box.registry.name}/farnode/{name}:1"
        box.run("alice", ["apptainer", "pull", "--no-https", f"{IMAGES}/{name}.sif", source], timeout=300)


def client_of(site: GatewaySite, owner: str, directory: Path) -> Path:
    """A client's configuration with this one site. The socket gets a short name: paths of sockets are limited."""
    socket = directory / f"{owner}.sock"
    socket.symlink_to(site.url.removeprefix("unix:"))
    path = directory / f"{owner}.yaml"
    entry = {"name": NAME, "url": f"unix:{socket}", "tokenFile": str(site.token(owner))}
    path.write_text(yaml.safe_dump({"sites": [entry]}))
    return path
