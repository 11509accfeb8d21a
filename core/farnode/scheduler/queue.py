"""Pods that wait for room, by shape: what is alike to the scheduler stands in one line, and is looked at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field

from farnode.model.demand import Demand


@dataclass(frozen=True, slots=True)
class Shape:
    """What the scheduler sees of a pod. Its hash is computed once: shapes are keys where bindings are made."""

    owner: str
    demand: Demand
    runtime: str
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.owner, self.demand, self.runtime)))

    def __hash__(self) -> int:
        return self._hash


class Line:
    """Waiting pods of one shape, the one that has waited longest first. Never empty while its queue holds it."""

    __slots__ = ("_sorted", "_waiting", "shape")

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._waiting: OrderedDict[str, float] = OrderedDict()  # a dict's own first key is slow to find once many left
        self._sorted = True

    @property
    def count(self) -> int:
        return len(self._waiting)

    @property
    def uids(self) -> Collection[str]:
        return self._in_order().keys()

    @property
    def head(self) -> str:
        return next(iter(self._in_order()))

    @property
    def since(self) -> float:
        """Since when the first of them waits."""
        return next(iter(self._in_order().values()))

    def add(self, uid: str, since: float) -> None:
        if self._waiting and since < next(reversed(self._waiting.values())):
            self._sorted = False  # a pod came back: sorted when next looked at, once for all that came
        self._waiting[uid] = since

    def remove(self, uid: str) -> None:
        del self._waiting[uid]

    def _in_order(self) -> OrderedDict[str, float]:
        if not self._sorted:
            self._waiting = OrderedDict(sorted(self._waiting.items(), key=lambda item: item[1]))
            self._sorted = True
        return self._waiting


class Queue:
    """All waiting pods. Adding, removing and finding the first of a line take the same time however many wait."""

    def __init__(self) -> None:
        self._lines: dict[Shape, Line] = {}
        self._line_of: dict[str, Line] = {}

    def __len__(self) -> int:
        return len(self._line_of)

    def __contains__(self, uid: object) -> bool:
        return uid in self._line_of

    def add(self, uid: str, shape: Shape, since: float) -> None:
        """A pod that waits already keeps its place."""
        if uid in self._line_of:
            return
        line = self._lines.get(shape)
        if line is None:
            line = self._lines[shape] = Line(shape)
        line.add(uid, since)
        self._line_of[uid] = line

    def remove(self, uid: str) -> None:
        """Nothing happens for a pod that does not wait."""
        line = self._line_of.pop(uid, None)
        if line is not None:
            line.remove(uid)
            if not line.count:
                del self._lines[line.shape]

    def lines(self) -> Collection[Line]:
        return self._lines.values()

    def line(self, shape: Shape) -> Line | None:
        """None where no pod of this shape waits."""
        return self._lines.get(shape)
