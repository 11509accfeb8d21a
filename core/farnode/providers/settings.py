"""Reading a driver's part of the gateway's configuration: every wrong key is named, none is silently ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farnode.errors import Invalid
from farnode.model.duration import parse_duration
from farnode.model.quantity import Quantity


def size(value: object, key: str) -> int:
    """Bytes from a quantity: a whole number, or text such as `64Gi`."""
    amount = Quantity.parse(value, key)
    if amount.nanos < 0:
        raise Invalid(key, f"{value!r} is less than nothing")
    return amount.whole


class Keys:
    """Takes keys out of a mapping one by one; what is left at `end` is unknown. `where` is the mapping's own path."""

    def __init__(self, values: object, where: str = "") -> None:
        self._prefix = f"{where}." if where else ""
        if not isinstance(values, Mapping):
            raise Invalid(where, f"{values!r} is not a mapping of keys to values")
        self._left: dict[str, Any] = {str(key): value for key, value in values.items() if value is not None}
        self._known: list[str] = []

    def path(self, key: str) -> str:
        return f"{self._prefix}{key}"

    def take(self, key: str, default: Any = None) -> Any:
        self._known.append(key)
        return self._left.pop(key, default)

    def text(self, key: str, default: str | None = None) -> str | None:
        value = self.take(key, default)
        if value is not None and not (isinstance(value, str) and value):
            raise Invalid(self.path(key), f"{value!r} is not a text")
        return value

    def whole(self, key: str, default: int, least: int = 1) -> int:
        value = self.take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise Invalid(self.path(key), f"{value!r} is not a whole number of at least {least}")
        return value

    def seconds(self, key: str, default: float) -> float:
        value = self.take(key, default)
        if isinstance(value, str):
            return float(parse_duration(value, self.path(key)))
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise Invalid(self.path(key), f"{value!r} is neither a number of seconds nor a duration such as 30s")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise Invalid(self.path(key), f"{value!r} is neither true nor false")
        return value

    def size(self, key: str, default: int) -> int:
        return size(self.take(key, default), self.path(key))

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.take(key, ())
        if not isinstance(value, list | tuple) or not all(isinstance(entry, str) and entry for entry in value):
            raise Invalid(self.path(key), f"{value!r} is not a list of texts")
        return tuple(value)

    def mapping(self, key: str) -> dict[str, Any]:
        value = self.take(key, {})
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise Invalid(self.path(key), f"{value!r} is not a mapping of names to values")
        return dict(value)

    def end(self) -> None:
        for key in self._left:
            raise Invalid(self.path(key), f"no such setting; there are {', '.join(sorted(self._known))}")
