"""What of a GPU's driver a container needs of its node: the devices, and for NVIDIA libraries that match the kernel's.

Apptainer brings both itself (`--nv`, `--rocm`); this is for the other runtimes. Which devices a program then uses is
told by its environment (see `farnode.runner.limits.gpu`), and a batch system may let it open no others. The libraries
are those the node's own programs would find (`ldconfig -p`), in one directory of the container.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
from typing import NamedTuple

from ..runtime import Mount
from . import launch

LIBRARIES = "/.farnode/libs"
PROGRAMS = ("nvidia-smi",)
DEVICES = ("/dev/nvidia*", "/dev/kfd", "/dev/dri", "/dev/accel")
NAMES = re.compile(r"lib(cuda|cudadebugger|nvcuvid|nvoptix|nvidia-[\w-]+|(EGL|GLX|GLESv1_CM|GLESv2)_nvidia)\.so(\.|$)")
LINE = re.compile(r"\s*(\S+) \((.*)\) => (/.*)")


class File(NamedTuple):
    """`name` is what programs ask for."""

    name: str
    path: str


def libraries() -> list[File]:
    """Those of this node; none where it has no NVIDIA device."""
    if not os.path.exists("/dev/nvidiactl"):
        return []
    path = ":".join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    tool = shutil.which("ldconfig", path=path)
    if not tool:
        return []
    return listed(launch.output([tool, "-p"], os.environ))


def listed(text: str) -> list[File]:
    """The driver's 64-bit libraries in what `ldconfig -p` says; the first of a name is the one that is found."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = LINE.match(line)
        if match and "64" in match[2] and NAMES.match(match[1]):
            found.setdefault(match[1], match[3])
    return [File(name, path) for name, path in found.items()]


def mounts(files: list[File]) -> list[Mount]:
    devices = [path for pattern in DEVICES for path in sorted(glob.glob(pattern))]
    shown = [Mount(path, path, False) for path in devices]
    shown += [Mount(file.path, f"{LIBRARIES}/{file.name}", True) for file in files if os.path.isfile(file.path)]
    for name in PROGRAMS if files else ():
        path = shutil.which(name)
        if path:
            shown.append(Mount(path, f"/usr/bin/{name}", True))
    return shown
