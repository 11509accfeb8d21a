"""podman without root. Its user namespace has the subordinate users a site gave this one, where it did: then a program
may be other users inside, and install packages.

Podman keeps a process and a store of its own for each user; these are made for this purpose alone and not in the
user's home directory, and its process is ended.
"""

from __future__ import annotations

import os

from .directory import Loan

SETTINGS = """\
[engine]
lock_type = "file"
cgroup_manager = "cgroupfs"
events_logger = "none"
"""
"""Locks in files of its own: in shared memory they would outlive it."""


class Podman:
    name = "podman"
    programs: tuple[str, ...] = ("podman",)
    as_root = True

    def loan(self, path: str, holder: str, env: dict[str, str], directory: str) -> Loan:
        run = f"{directory}/run"
        os.makedirs(run, mode=0o700, exist_ok=True)
        settings = f"{directory}/containers.conf"
        with open(settings, "w", encoding="ascii") as file:
            file.write(SETTINGS)
        places = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "TMPDIR"), directory)
        own = {**env, **places, "XDG_RUNTIME_DIR": run, "CONTAINERS_CONF": settings}
        store = ["--root", f"{directory}/root", "--runroot", f"{directory}/runroot", "--storage-driver", "vfs"]
        return Loan([path, *store, "--log-level", "error", "unshare", holder], own, f"{run}/libpod/tmp/pause.pid")
