"""A container image made ready for a site."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Image:
    """`path` is a SIF file or directory a compute node can read; "" for the process runtime, which has no image.
    The rest is the image's own configuration, as in OCI."""

    reference: str
    digest: str = ""
    path: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    stop_signal: str = ""
