"""A container's root directory out of an image's, made in a mount namespace of its own.

The image stays as it is: what is written to the root directory is kept in memory and ends with the container. Around
it are the file systems every container has: /proc, /sys, a small /dev and the node's word on names and addresses.
"""

from __future__ import annotations

import contextlib
import os

from . import namespaces, user
from .root import Root, touch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PLAIN = namespaces.MS_NOSUID | namespaces.MS_NODEV
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
OF_THE_NODE = ("/etc/hosts", "/etc/resolv.conf")


def make(order: dict[str, Any]) -> str:
    """Make it, with the order's mounts; its path. OSError or ValueError with words."""
    root = Root(layered(order["image"], order["base"], order["root_size"]), owned=True)
    processes(root)
    devices(root, order["shm"])
    for path in OF_THE_NODE:
        if os.path.exists(path):
            root.place(path, path, True)
    user.add(root, *order["user"])
    for source, target, read_only in order["mounts"]:
        root.place(source, target, read_only)
    with contextlib.suppress(OSError, ValueError):
        root.directory(order["cwd"])  # a missing one is made, as other runtimes do
    if order["read_only_root"]:
        namespaces.protect(root.path)
    return root.path


def layered(image: str, base: str, size: int) -> str:
    """The image with a layer in memory over it, at a place below the directory `base`. The layer takes at most `size`
    bytes; 0: half of the node's memory, as the kernel has it."""
    os.makedirs(base, mode=0o700, exist_ok=True)
    namespaces.mount("farnode", base, PLAIN, "tmpfs", f"mode=755,size={size}" if size else "mode=755")
    os.chdir(base)  # so that no path of the node is in the options, where a comma or a colon means something
    for name in ("image", "upper", "work", "root"):
        os.mkdir(name, 0o755)
    namespaces.bind(image, "image", read_only=True)
    layers = "lowerdir=image,upperdir=upper,workdir=work"
    try:
        namespaces.mount("farnode", "root", PLAIN, "overlay", layers + ",userxattr")
    except OSError:
        namespaces.mount("farnode", "root", PLAIN, "overlay", layers)
    return f"{base}/root"


def processes(root: Root) -> None:
    for name in ("/proc", "/sys"):
        root.directory(name)
    flags = PLAIN | namespaces.MS_NOEXEC
    namespaces.mount("proc", root.path + root.resolve("/proc"), flags, "proc")
    there = root.path + root.resolve("/sys")
    namespaces.bind("/sys", there)
    namespaces.protect(there)
    namespaces.protect_below(there)  # cgroups above all: some are the user's, with other containers in them


def devices(root: Root, shm: str) -> None:
    root.directory("/dev")
    there = root.path + root.resolve("/dev")
    namespaces.mount("farnode", there, namespaces.MS_NOSUID, "tmpfs", "mode=755")
    for name in DEVICES:
        touch(f"{there}/{name}")
        namespaces.bind(f"/dev/{name}", f"{there}/{name}")
    for name, target in LINKS.items():
        os.symlink(target, f"{there}/{name}")
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(f"{there}/{name}")
    quiet = namespaces.MS_NOSUID | namespaces.MS_NOEXEC
    namespaces.mount("devpts", f"{there}/pts", quiet, "devpts", "newinstance,ptmxmode=0666,mode=620")
    namespaces.bind(shm, f"{there}/shm")
    with contextlib.suppress(OSError):  # a kernel may have none
        namespaces.mount("mqueue", f"{there}/mqueue", PLAIN | namespaces.MS_NOEXEC, "mqueue")
