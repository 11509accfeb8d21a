"""A JSON value and the path to it: every reading checks the type and names the path when it is wrong.

What Kubernetes' own decoder does holds here too: null, and where text is wanted the empty text, mean "not given".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from farnode.errors import Invalid
from farnode.model.quantity import Quantity

_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
INT32 = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Reader:
    value: object
    path: str = ""

    def invalid(self, problem: str) -> Invalid:
        return Invalid(self.path, problem)

    @property
    def given(self) -> bool:
        return self.value is not None

    def at(self, key: str) -> Reader:
        """The field `key` of this object; one that is absent reads as null."""
        return Reader(self.object().get(key), f"{self.path}.{key}" if self.path else key)

    def object(self) -> Mapping[str, object]:
        if self.value is None:
            return {}
        if not isinstance(self.value, Mapping):
            raise self._wrong("an object (key: value)")
        for key in self.value:
            if not isinstance(key, str):
                raise self.invalid(f"the key {key!r} must be text: put it in quotes")
        return self.value

    def entries(self) -> dict[str, Reader]:
        """The values of a map whose keys are the user's, with paths such as `labels[app]`."""
        return {key: Reader(value, f"{self.path}[{key}]") for key, value in self.object().items()}

    def items(self) -> list[Reader]:
        if self.value is None:
            return []
        if not isinstance(self.value, (list, tuple)):
            raise self._wrong("a list")
        return [Reader(value, f"{self.path}[{index}]") for index, value in enumerate(self.value)]

    def raw_text(self) -> str:
        """Text that may be empty, but must be there."""
        if not isinstance(self.value, str):
            raise self._wrong("text")
        if found := _UNSENDABLE.search(self.value):
            kind = "a NUL character" if found[0] == "\x00" else "half of a Unicode surrogate pair"
            raise self.invalid(f"contains {kind}, which no process can be given")
        return self.value

    def text(self, default: str | None = None) -> str:
        """Text; without a default it must be given."""
        if self.value is not None and self.raw_text():
            return self.raw_text()
        if default is None:
            raise self.invalid("is required")
        return default

    def texts(self) -> tuple[str, ...]:
        return tuple(item.raw_text() for item in self.items())

    def text_map(self) -> dict[str, str]:
        return {key: value.raw_text() for key, value in self.entries().items()}

    def choice(self, options: Collection[str], default: str) -> str:
        found = self.text(default)
        if found not in options:
            raise self.invalid(f"{_short(found)} is not one of {', '.join(filter(None, options))}")
        return found

    def flag(self, default: bool = False) -> bool:
        if self.value is None:
            return default
        if not isinstance(self.value, bool):
            raise self._wrong("true or false")
        return self.value

    def only_one(self, options: Sequence[str]) -> str:
        """Which one of these fields is given; Invalid where it is none or several."""
        given = [option for option in options if self.at(option).given]
        if len(given) != 1:
            raise self.invalid(f"must have exactly one of {', '.join(options)}")
        return given[0]

    def number(self, minimum: int, maximum: int = INT32) -> int | None:
        if self.value is None:
            return None
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self._wrong("a whole number")
        if not minimum <= self.value <= maximum:
            raise self.invalid(f"{_short(self.value)} is not between {minimum} and {maximum}")
        return self.value

    def quantity(self) -> Quantity:
        return Quantity.parse(self.value, self.path)

    def _wrong(self, wanted: str) -> Invalid:
        if self.value is None:
            return self.invalid(f"is null, but must be {wanted}")
        scalar = isinstance(self.value, (bool, int, float))
        hint = f': quote it ("{_short(self.value)}")' if wanted == "text" and scalar else ""
        return self.invalid(f"is {_kind(self.value)}, but must be {wanted}{hint}")


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return f"the boolean {_short(value)}"
    if isinstance(value, (int, float)):
        return f"the number {_short(value)}"
    if isinstance(value, str):
        return f"the text {_short(value)}"
    return "an object" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else "not JSON"


def _short(value: object) -> str:
    """A scalar as a person would recognise it in the file; numbers too long to print are only described."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= 10**40:
        return "of more than 40 digits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
