"""Labels and taints that are ours among those that others set: a merge of three.

What we set stands in an annotation of the Node. What differs from it now was changed by somebody else, and stays as it
is. Server-side apply would do as much for labels, but taints are one atomic field there: to own one is to own all.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from farnode.node.kube.failures import Json

APPLIED = "farnode.io/applied"
"""The annotation; a Node without it is not ours."""

Taints = dict[tuple[str, str], Json]
"""By key and effect."""
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Applied:
    """`taints` are v1.Taint objects."""

    labels: Mapping[str, str] = field(default_factory=dict)
    taints: list[Json] = field(default_factory=list)

    def annotation(self) -> str:
        return orjson.dumps({"labels": dict(self.labels), "taints": self.taints}, option=orjson.OPT_SORT_KEYS).decode()


def applied(node: Json) -> Applied | None:
    """What we set last; None where the Node is not ours. What somebody made unreadable is nothing."""
    text = (node["metadata"].get("annotations") or {}).get(APPLIED)
    if text is None:
        return None
    try:
        found: Any = orjson.loads(text)
        return Applied(dict(found["labels"]), list(found["taints"]))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return Applied()


def merged(present: Mapping[K, V], before: Mapping[K, V], wanted: Mapping[K, V]) -> dict[K, V]:
    """What is to be there: `wanted` where `present` still is what we set `before`, else what is there now."""
    keys = [*present, *(key for key in wanted if key not in present)]
    chosen = {key: (wanted if present.get(key) == before.get(key) else present).get(key) for key in keys}
    return {key: value for key, value in chosen.items() if value is not None}


def by_identity(taints: Iterable[Mapping[str, Any]]) -> Taints:
    """Without `timeAdded`, which is for who evicts."""
    return {
        (taint["key"], taint["effect"]): {key: taint[key] for key in ("key", "value", "effect") if taint.get(key)}
        for taint in taints
    }


def unchanged(wanted: Taints, present: Iterable[Json]) -> list[Json]:
    """As a list; those that are there already as they are, with `timeAdded`."""
    whole = {identity: taint for taint in present for identity in by_identity([taint])}
    there = by_identity(whole.values())
    return [whole[key] if there.get(key) == taint else taint for key, taint in wanted.items()]
