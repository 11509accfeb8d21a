from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from farnode.runner.runtimes import holder
from tests.testbed import SiteSpec, SlurmSite, free_index

from .place import Place

PLAIN = 6601
"""An unprivileged uid: a runner is never root."""
ALICE = 1001
BUILD = r"""
mkdir -p image/dev image/proc image/sys image/etc image/tmp image/var/tmp image/root image/work image/usr/bin
mkdir -p image/.singularity.d/env
for tool in sh cat env ls id sleep touch mkdir rm stty tty hostname setsid true readlink grep kill chown; do
    path=$(readlink -f /usr/bin/$tool)
    cp "$path" image/usr/bin/$tool
    for library in $(ldd "$path" | grep -o '/[^ )]*'); do
        mkdir -p "image$(dirname $library)"
        test -e "image$library" || cp -L "$library" "image$library"
    done
done
ln -s usr/bin image/bin
echo 'inside the image' >image/etc/marker
cat >image/.singularity.d/env/10-docker2singularity.sh <<'END'
#!/bin/sh
export PATH="/usr/bin:/image/bin"
export FROM_IMAGE="image"
export BOTH="image"
END
apptainer -q build image.sif image
"""


def python() -> str:
    """A Python an unprivileged user can execute here."""
    for name in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run([name, "-c", ""], user=PLAIN, group=PLAIN, extra_groups=[], check=True, cwd="/")
        except (OSError, subprocess.CalledProcessError):
            continue
        return name
    pytest.skip("no Python that an unprivileged user can execute")


def run_here(argv: list[str], text: str) -> str:
    done = subprocess.run(
        [python(), *argv],
        input=text,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "SLURM_JOB_ID": "7"},
        cwd="/",
        user=PLAIN,
        group=PLAIN,
        extra_groups=[],
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def place() -> Iterator[Place]:
    path = Path(tempfile.mkdtemp(prefix="runtimes-"))
    path.chmod(0o755)
    os.chown(path, PLAIN, PLAIN)
    try:
        yield Place(path, str(path), PLAIN, "process", run_here)
    finally:
        shutil.rmtree(path)


@pytest.fixture(scope="session")
def site() -> Iterator[SlurmSite]:
    with SlurmSite(SiteSpec(nodes=1, index=free_index(), farnode=False)) as site:
        yield site


@pytest.fixture(scope="session")
def on_node(site: SlurmSite) -> Place:
    """A place of alice's on a node, with an image as a directory, as a SIF file, and one with nothing but a program;
    for whichever runtime."""
    path = site.home("alice") / "place"
    path.mkdir()
    os.chown(path, ALICE, ALICE)

    def python(argv: list[str], text: str) -> str:
        env = {"FARNODE_ALLOCATION": "/home/alice/place", "SLURM_JOB_ID": "7", "http_proxy": "http://host"}
        return site.run("alice", ["python3", *argv], node=1, input=text, env=env).stdout

    place = Place(path, "/home/alice/place", ALICE, "", python)
    site.run("alice", ["sh", "-ec", f"cd place\n{BUILD}"], node=1)
    for name in ("dev", "proc", "sys", "etc", "tmp", "var/tmp"):
        place.directory(f"scratch/{name}")
    holder.write(str(path / "scratch/program"))
    os.chown(path / "scratch/program", ALICE, ALICE)
    return place
