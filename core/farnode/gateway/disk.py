"""Whether a directory may hold the gateway's state: SQLite's write-ahead log needs a local disk."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from farnode.errors import Invalid

_STATFS_BYTES = 256
"""More than any Linux's struct statfs; only its first field is read."""
NOT_LOCAL = {
    0x6969: "NFS",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
    0x19830326: "BeeGFS",
    0x00C36400: "CephFS",
    0x65735546: "FUSE",
    0x517B: "SMB",
    0xFE534D42: "SMB",
    0xFF534D42: "CIFS",
    0x5346414F: "AFS",
    0x01021997: "9P",
    0x20030528: "OrangeFS",
    0xAAD7AAEA: "PanFS",
    0x01161970: "GFS2",
    0x7461636F: "OCFS2",
}
"""Magic numbers of statfs(2) whose file systems are shared between hosts, or cannot tell (FUSE)."""


def file_system(path: Path) -> int:
    """The magic number of the file system `path` is on; OSError as of statfs(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    if libc.statfs(os.fsencode(path), buffer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF


def check_state_directory(path: Path, magic: int | None = None) -> None:
    """Create it, private, where it is missing; Invalid when it cannot be used. `magic` replaces what statfs says."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = NOT_LOCAL.get(file_system(path) if magic is None else magic)
    except OSError as error:
        raise Invalid("state", f"{path} cannot be used: {error.strerror}; accepted: a directory of your own") from error
    if kind:
        raise Invalid(
            "state",
            f"{path} is on {kind}, where a database can be damaged by a second host; "
            "accepted: a directory on a local disk that survives a reboot, such as below /var/tmp or a local /scratch",
        )
