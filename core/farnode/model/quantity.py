"""Kubernetes' resource quantities, exact: an amount is a whole number of billionths, never a float.

The grammar, the rounding and the canonical form are those of Kubernetes' "Quantity" (API reference, resource.Quantity):
what is finer than a billionth is rounded up, what is above 2^63-1 is capped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

from farnode.errors import Invalid

NANO = 10**9
LARGEST = 2**63 - 1
_LONGEST = 100
"""Characters; no real quantity comes near it, and an unbounded one would be a way to burn time."""

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_POWER = {power: suffix for suffix, power in _BINARY.items()} | {0: ""}
_FORM = re.compile(r"([+-]?)(\d*)\.?(\d*)(?:([KMGTPE]i)|[eE]([+-]?\d+)|([numkMGTPE]?))", re.ASCII)
_ACCEPTED = "a quantity such as 2, 0.5, 500m, 1e3, 4Gi or 10G (suffixes n u m k M G T P E, Ki Mi Gi Ti Pi Ei)"


class Form(Enum):
    """How a quantity was written, which is how it is written again."""

    DECIMAL = "decimal"
    BINARY = "binary"
    EXPONENT = "exponent"


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """`nanos`: the amount in billionths. Two quantities compare by amount, however they were written."""

    nanos: int
    form: Form = field(default=Form.DECIMAL, compare=False)

    @classmethod
    def parse(cls, value: object, path: str = "") -> Self:
        """Read the JSON value of a quantity; Invalid names `path` and what is accepted."""
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise Invalid(path, f"is not {_ACCEPTED}")
        text = value if isinstance(value, str) else repr(value)
        match = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
        if match is None or not (match[2] or match[3]):
            raise Invalid(path, f"{text[:_LONGEST]!r} is not {_ACCEPTED}")
        nanos, form = _amount(match[2] + match[3], -len(match[3]), match)
        return cls(-nanos if match[1] == "-" else nanos, form)

    @property
    def millicores(self) -> int:
        """Thousandths, rounded up (away from zero) as Kubernetes' MilliValue."""
        return _ceil(self.nanos, NANO // 1000)

    @property
    def whole(self) -> int:
        """Units (bytes, devices), rounded up (away from zero) as Kubernetes' Value."""
        return _ceil(self.nanos, NANO)

    @property
    def exact(self) -> bool:
        """Whether it is a whole number of units."""
        return self.nanos % NANO == 0

    def __str__(self) -> str:
        """The canonical form: no fraction, the largest suffix that loses nothing."""
        if self.form is Form.BINARY and self.exact and abs(self.nanos) >= 1024 * NANO:
            amount, power = _strip(self.nanos // NANO, 1024)
            return f"{amount}{_POWER[power]}"
        if self.nanos == 0:
            return "0"
        amount, zeros = _strip(self.nanos, 10)
        exponent = zeros - 9
        amount, exponent = amount * 10 ** (exponent % 3), exponent - exponent % 3
        if self.form is Form.EXPONENT:
            return f"{amount}e{exponent}" if exponent else str(amount)
        return f"{amount}{_SUFFIX[exponent]}"


def _amount(digits: str, scale: int, match: re.Match[str]) -> tuple[int, Form]:
    """Billionths of `digits` * 10^`scale` with the suffix of `match`, without the sign."""
    number, form = int(digits), Form.DECIMAL
    if match[4]:
        number, form = number * 1024 ** _BINARY[match[4]], Form.BINARY
    elif match[5]:
        # Beyond +-200 the amount is capped or rounded up whatever its (at most 100) digits say.
        scale, form = scale + max(-200, min(200, int(match[5]))), Form.EXPONENT
    else:
        scale += _DECIMAL[match[6]]
    scale += 9
    nanos = number * 10**scale if scale >= 0 else _ceil(number, 10**-scale)
    if form is Form.BINARY and nanos < NANO:
        form = Form.DECIMAL
    return min(nanos, LARGEST * NANO), form


def _ceil(number: int, divisor: int) -> int:
    """The quotient, rounded away from zero."""
    return -(-number // divisor) if number >= 0 else number // divisor


def _strip(number: int, factor: int) -> tuple[int, int]:
    """Take `factor` out of a number other than zero as often as it divides it: what is left, and how often."""
    times = 0
    while number % factor == 0:
        number, times = number // factor, times + 1
    return number, times
