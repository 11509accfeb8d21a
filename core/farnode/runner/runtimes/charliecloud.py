"""ch-run of Charliecloud. It starts nothing without an image, so it gets one of empty directories; the holder is seen
in one of them."""

from __future__ import annotations

import os

from .directory import Loan

SKELETON = ("dev", "proc", "sys", "etc", "tmp", "home", "root", "bin", "usr/bin", "mnt", "var/tmp")
"""Directories that ch-run mounts something on, or could."""
SHOWN = "/mnt"
FILES = ("etc/hosts", "etc/resolv.conf", "etc/passwd", "etc/group")


class Charliecloud:
    name = "charliecloud"
    programs: tuple[str, ...] = ("ch-run",)
    as_root = False

    def loan(self, path: str, holder: str, env: dict[str, str], directory: str) -> Loan:
        image = f"{directory}/image"
        for name in SKELETON:
            os.makedirs(f"{image}/{name}", exist_ok=True)
        for name in FILES:
            with open(f"{image}/{name}", "w", encoding="ascii"):
                pass
        where, _, name = holder.rpartition("/")
        if ":" in where:
            raise ValueError(f"the directory {where} may hold no colon")
        flags = ["--uid=0", "--gid=0", "--private-tmp", f"--bind={where}:{SHOWN}"]
        return Loan([path, *flags, image, "--", f"{SHOWN}/{name}"], env)
