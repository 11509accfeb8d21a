"""Times as Kubernetes writes them: RFC 3339, UTC with `Z`, whole seconds (metav1.Time)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def rfc3339(at: float) -> str:
    """`at` in seconds since the epoch; fractions are cut off, as Kubernetes does."""
    return _second(int(at))


@lru_cache(maxsize=64)
def _second(at: int) -> str:
    """Kept for a while: what happens together is told together, and formatting is a tenth of telling."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
