"""The strategic merge patch that makes one v1.PodStatus of another.

Source: Kubernetes, "Update API Objects in Place Using kubectl patch", and the merge keys of v1.PodStatus: conditions
merge by their type, podIPs and hostIPs by their ip; every other list is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

_REPLACED = ("podIPs", "hostIPs")
_GENERATION = "observedGeneration"


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    """The patch; empty when both say the same. To an API server that did not keep `observedGeneration` when it was
    first told, that makes no difference."""
    kept = _GENERATION in before or "containerStatuses" not in before
    found: Json = {}
    for key in [*after, *(key for key in before if key not in after)]:
        if key == "conditions":
            changed = _conditions(before.get(key) or (), after.get(key) or (), kept)
            found |= {key: changed} if changed else {}
        elif (kept or key != _GENERATION) and _said(before.get(key), kept) != _said(after.get(key), kept):
            found[key] = _value(key, after.get(key))
    return found


def _value(key: str, value: Any) -> Any:
    if not value:
        return None
    return [{"$patch": "replace"}, *value] if key in _REPLACED else value


def _conditions(before: Any, after: Any, kept: bool) -> list[Json]:
    old, new = _by_type(before), _by_type(after)
    changed = [
        {**dict.fromkeys(old.get(kind, {})), **condition}
        for kind, condition in new.items()
        if _said(old.get(kind), kept) != _said(condition, kept)
    ]
    return changed + [{"type": kind, "$patch": "delete"} for kind in old if kind not in new]


def _by_type(conditions: Any) -> dict[str, Json]:
    return {condition["type"]: condition for condition in conditions}


def _said(value: Any, kept: bool) -> Any:
    """Without what is null or empty: the API server adds such fields, and leaves others out."""
    if isinstance(value, Mapping):
        found = {key: _said(item, kept) for key, item in value.items() if kept or key != _GENERATION}
        return {key: item for key, item in found.items() if item not in (None, "", [], {})}
    return [_said(item, kept) for item in value] if isinstance(value, list) else value
