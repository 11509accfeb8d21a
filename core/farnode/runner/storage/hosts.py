"""The /etc/hosts of a pod with hostAliases, as the kubelet writes it for pods on the network of their node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...wire.messages import HostAlias

PATH = "/etc/hosts"
HEADER = "# Kubernetes-managed hosts file (host network).\n"


def text(aliases: Sequence[HostAlias], node: str = PATH) -> str:
    """The content of the node's own file, and after it the pod's entries."""
    try:
        own = Path(node).read_text("utf-8", "replace")
    except OSError:
        own = "127.0.0.1\tlocalhost\n"
    entries = ["\t".join((alias["ip"], *alias["hostnames"])) + "\n" for alias in aliases]
    return "".join([HEADER, own, "\n# Entries added by HostAliases.\n", *entries])
