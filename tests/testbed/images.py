"""Test images, made from Debian packages without any registry, as one OCI layout per image."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from tests.testbed import host
from tests.testbed.build import SLIM

TOOLS = {"mmdebstrap": "mmdebstrap", "umoci": "umoci", "skopeo": "skopeo"}
# Tag -> what its config says on top of the ENV and WORKDIR that all have.
BUSYBOX: dict[str, list[str]] = {
    "1": ["--config.cmd=sh"],
    "entry": ["--config.entrypoint=/bin/echo", "--config.entrypoint=entry", "--config.cmd=cmd"],
    "user": ["--config.cmd=sh", "--config.user=1000:1000"],
}
PYTHON: dict[str, list[str]] = {"1": ["--config.cmd=python3"]}
COMMON = ["--config.env=FOO=image", "--config.env=PATH=/usr/bin:/bin", "--config.workingdir=/work"]


def build(scratch: Path) -> dict[str, tuple[Path, Iterable[str]]]:
    """Make all images below ``scratch``: name -> OCI layout and its tags."""
    host.install(TOOLS)
    return {
        "busybox": (_pack(scratch / "busybox", _busybox(scratch / "busybox-root"), BUSYBOX), BUSYBOX),
        "python": (_pack(scratch / "python", _python(scratch / "python-root"), PYTHON), PYTHON),
    }


def _busybox(root: Path) -> Path:
    unpacked = host.unpack("busybox-static", root.with_name("busybox-deb"))
    (root / "bin").mkdir(parents=True)
    shutil.copy2(next(unpacked.glob("**/bin/busybox")), root / "bin/busybox")
    host.call(["chroot", str(root), "/bin/busybox", "--install", "-s", "/bin"])
    return _finish(root)


def _python(root: Path) -> Path:
    # Unpacked but not configured: python3 and a shell need no more, and it takes a tenth of the time.
    include = "--include=python3,dash,coreutils,base-files,libc-bin"
    host.call(["nice", "mmdebstrap", "--variant=extract", *SLIM, include, "trixie", str(root), host.mirror()])
    return _finish(root)


def _finish(root: Path) -> Path:
    for directory in ("etc", "tmp", "work", "proc", "sys", "dev", "root"):
        (root / directory).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/work:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")
    return root


def _pack(layout: Path, root: Path, tags: dict[str, list[str]]) -> Path:
    host.call(["umoci", "init", "--layout", str(layout)])
    host.call(["umoci", "new", "--image", f"{layout}:base"])
    host.call(["nice", "umoci", "insert", "--image", f"{layout}:base", str(root), "/"])
    machine = ["--os=linux", f"--architecture={host.architecture()}"]
    for tag, config in tags.items():
        host.call(["umoci", "config", "--image", f"{layout}:base", "--tag", tag, *machine, *COMMON, *config])
    return layout
