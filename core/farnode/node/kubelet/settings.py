"""What the kubelet API is told once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """`nodes` are the virtual nodes of this process: the first is served at `port`, each further one at the next
    number (any free one where `port` is 0), because nothing else in a request for metrics tells which node is meant.
    """

    nodes: Sequence[str]
    host: str = "0.0.0.0"  # noqa: S104 - the API server comes from outside
    port: int = 10250
    client_ca: Path | None = None
    """Certificates (PEM) of whoever signs the API server's client certificate."""
    authority_every: float = 60.0
    """Seconds between two readings of `client_ca`: authorities are replaced while both are in the file."""
    anonymous: bool = False
    """Serve callers that show nothing, too."""
    streams: int = 1000
    """Logs, exec, attach and port-forward sessions at once, of the whole process."""
