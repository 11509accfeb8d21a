"""The errors farnode raises on purpose; anything else that escapes is a defect.

FarnodeError
├── Invalid            input that cannot be honoured: names the field, what is wrong, what is accepted
├── NotFound           no such pod, site, container or file of the caller
├── Denied             the caller is not who may do this
├── Permanent          the other side refused and would refuse again; the words say what to change
└── Transient          try again: the other side is away, busy or answered noise (`retry_after` in seconds)
    └── Unreachable    no connection at all
"""

from __future__ import annotations


class FarnodeError(Exception):
    """Root of the tree; `str()` of any of them is a sentence for a person."""


class Invalid(FarnodeError):
    """Input that cannot be honoured. `field` is its path, such as `spec.containers[0].image`."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem


class NotFound(FarnodeError):
    """What was asked for does not exist, or belongs to somebody else."""


class Denied(FarnodeError):
    """The caller presented no token, or one that does not allow this."""


class Permanent(FarnodeError):
    """The other side refused; repeating the same request is of no use."""


class Transient(FarnodeError):
    """The same request may well succeed later."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(Transient):
    """Nobody answered."""
