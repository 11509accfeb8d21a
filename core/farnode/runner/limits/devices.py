"""The GPUs of this node of the allocation, each lent to one attempt at a time."""

from __future__ import annotations

from collections.abc import Sequence


class Devices:
    def __init__(self, names: Sequence[str]) -> None:
        self._free = list(names)

    def take(self, count: int) -> list[str]:
        """Raises ValueError, in the kubelet's words, when there are not so many."""
        if count > len(self._free):
            raise ValueError(
                f"Allocate failed due to requested number of GPUs unavailable. Requested: {count}, "
                f"Available: {len(self._free)}, which is unexpected"
            )
        taken, self._free = self._free[:count], self._free[count:]
        return taken

    def give_back(self, names: Sequence[str]) -> None:
        self._free = [*self._free, *names]
