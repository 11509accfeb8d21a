"""The root file system all machines of all sites start from, built once and then only read.

Debian trixie with a real Slurm and the tools that run containers; apptainer comes from sid, the only suite that has
it. The directory is the lowest layer of every machine's overlay, so bringing a site up copies nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shlex
import tempfile
from pathlib import Path

from tests.testbed import host

log = logging.getLogger(__name__)

FILES = Path(__file__).parent / "files"
TOOLS = {"mmdebstrap": "mmdebstrap", "ip": "iproute2", "nft": "nftables", "nsenter": "util-linux"}
PACKAGES = [
    *("python3", "ca-certificates", "iproute2", "procps", "util-linux"),
    *("munge", "slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins"),
    *("slurmrestd", "slurm-wlm-jwt-plugin", "slurmdbd", "mariadb-server"),
    *("apptainer", "squashfs-tools", "squashfuse"),
    *("podman", "crun", "runc", "fuse-overlayfs"),
    *("charliecloud", "bubblewrap"),
]
PINS = """\
Package: *
Pin: release n=sid
Pin-Priority: 100

Package: apptainer
Pin: release n=sid
Pin-Priority: 990
"""
SLIM = [
    '--aptopt=Acquire::Languages "none"',
    *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("man", "doc", "locale")),
]
# Daemons are started by the machines' own init, never by a package's installation.
NO_DAEMONS = 'printf "#!/bin/sh\\nexit 101\\n" >"$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"'


def recipe_key() -> str:
    """Changes whenever a rebuilt root file system would differ by our doing."""
    recipe = [PACKAGES, PINS, SLIM, NO_DAEMONS, (FILES / "customize.sh").read_text()]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]


def root_file_system() -> Path:
    """The built root file system; the first call on a machine builds it (about a minute)."""
    ready = host.CACHE / f"base-{recipe_key()}"
    if ready.is_dir():
        return ready
    host.require()
    with host.locked("build"):
        if not ready.is_dir():
            host.install(TOOLS)
            log.info("building the site's root file system (once, about a minute): %s", ready)
            _build(ready)
    return ready


def _build(ready: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="building-", dir=host.CACHE) as scratch:
        target, pins = Path(scratch) / "root", Path(scratch) / "pins"
        pins.write_text(PINS)
        preferences = '"$1/etc/apt/preferences.d"'
        setup = f'mkdir -p "$1/usr/sbin" {preferences}; cp {shlex.quote(str(pins))} {preferences}/pins'
        customize = shlex.quote(str(FILES / "customize.sh"))
        debian = host.mirror()
        host.call(
            [
                *("nice", "mmdebstrap", "--variant=minbase", *SLIM, f"--include={','.join(PACKAGES)}"),
                *(f"--setup-hook={setup}; {NO_DAEMONS}", f'--customize-hook=sh {customize} "$1"'),
                *("trixie", str(target), f"deb {debian} trixie main"),
                # sid's Release file is now and then older than it says it may be.
                f"deb [check-valid-until=no] {debian} sid main",
            ]
        )
        target.chmod(0o755)
        target.rename(ready)
