"""A mount of a part of a volume: subPath and subPathExpr.

Source: Kubernetes, "Volumes", "Using subPath", and the kubelet, which makes a part that does not exist a directory of
the volume's own mode. A link that a container made must not lead out of its volume.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from ...wire.messages import MountOrder
from ..pods.environment import REFERENCE, expand
from .scratch import below, make_missing


def of(order: MountOrder, variables: Mapping[str, str]) -> str:
    """The part that is meant, relative to the volume, "" for all of it; ValueError when a variable is missing."""
    expression = order.get("sub_path_expr", "")
    if not expression:
        return order.get("sub_path", "")
    for match in REFERENCE.finditer(expression):
        if match[2] is not None and match[2] not in variables:
            raise ValueError(f"subPathExpr {expression!r}: missing value for {match[2]!r}")
    return expand(expression, variables)


def locate(volume: str, part: str, writable: bool) -> str:
    """Where the part of the volume (a directory of the node) is; made where it is missing and may be made."""
    root = os.path.realpath(volume)
    where = Path(os.path.realpath(below(root, part)))
    if not where.is_relative_to(root):
        raise ValueError(f"subPath {part!r} leads out of the volume")
    if not where.exists():
        if not writable:
            raise ValueError(f"subPath {part!r} does not exist in the volume, which is read-only")
        make_missing(where, stat.S_IMODE(os.stat(root).st_mode))
    return str(where)
