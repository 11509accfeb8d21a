"""Which hostPath volumes a site allows: pure, by the list of its configuration.

A hostPath is used with the rights of the site's account, which reach further than a pod should. The list is compared
with the path as it is written; where links lead is seen on the node, which refuses what is not below the entry.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import PurePosixPath

from farnode.errors import Invalid
from farnode.gateway.config import HostPath
from farnode.model.claim import HostPathWanted
from farnode.wire.messages import VolumeOrder


def entry(wanted: HostPathWanted, allowed: Sequence[HostPath]) -> HostPath:
    """The entry that allows it, the closest one; Invalid when there is none, or its type would write to it."""
    path = PurePosixPath("/" + posixpath.normpath(wanted.path).lstrip("/"))
    above = [each for each in allowed if path.is_relative_to(posixpath.normpath(each.path))]
    if not above:
        words = ", ".join(f"{each.path} and below" for each in allowed)
        words = words or "none here: use a persistentVolumeClaim or an emptyDir"
        raise Invalid(wanted.field, f"{wanted.path!r} may not be mounted at this site; accepted: {words}")
    closest = max(above, key=lambda each: len(each.path.parts))
    if closest.read_only and wanted.type.endswith("OrCreate"):
        kind = wanted.type.removesuffix("OrCreate")
        field = f"{wanted.field.removesuffix('path')}type"
        raise Invalid(field, f"nothing is made below {closest.path}, which is read-only at this site; use {kind}")
    return closest


def confine(volume: VolumeOrder, within: HostPath) -> None:
    """Let the runner hold the volume to its entry."""
    volume["below"] = str(within.path)
    if within.read_only:
        volume["read_only"] = True
