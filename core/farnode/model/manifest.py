"""Text of YAML and JSON files -> JSON values, strictly and as Kubernetes' own tools read it.

Beyond YAML's safe subset: duplicate keys are refused instead of one silently winning, keys are text, and what YAML 1.1
would turn into something else by surprise stays text: dates, `12:30:00`, `.inf`. `yes`, `no`, `on` and `off` stay
booleans, because kubectl takes them for booleans; where text is needed the reader says to quote them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from farnode.errors import Invalid

MAX_DEPTH = 64
MAX_VALUES = 1_000_000
"""Of one document, aliases counted as often as they are used: a few lines can stand for billions of values."""

_TAG = "tag:yaml.org,2002:"
_KEPT = [_TAG + kind for kind in ("null", "bool", "int", "float", "str", "seq", "map")]
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0o?[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)\Z")
_DIGITS = list("-+0123456789")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with JSON's types only."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if key.tag not in (_TAG + "str", _TAG + "merge"):
                raise yaml.MarkedYAMLError(problem="a key must be text: put it in quotes", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return node


_Loader.yaml_constructors = {
    tag: read for tag, read in yaml.SafeLoader.yaml_constructors.items() if tag is None or tag in _KEPT
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag in (_TAG + "null", _TAG + "bool", _TAG + "merge")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_TAG + "int", _INT, _DIGITS)
_Loader.add_implicit_resolver(_TAG + "float", _FLOAT, [*_DIGITS, "."])


def read_values(source: str, text: str) -> Iterator[Any]:
    """The documents of one file; Invalid names `source`, and the line where the text itself is wrong."""
    try:
        values = _load(text)
    except yaml.MarkedYAMLError as error:
        raise Invalid(_place(source, error.problem_mark or error.context_mark), error.problem or str(error)) from error
    except yaml.reader.ReaderError as error:
        raise Invalid(source, f"is not text of YAML: {error.reason} at position {error.position}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise Invalid(source, f"cannot be read: {error}") from error
    except RecursionError as error:
        raise Invalid(source, f"is nested more than {MAX_DEPTH} deep") from error
    for value in values:
        if value is not None:
            _check(value, source)
            yield value


def _load(text: str) -> list[Any]:
    """JSON where it is JSON (YAML readers refuse its tabs), else YAML."""
    if text.lstrip().startswith(("{", "[")):
        try:
            return [json.loads(text, object_pairs_hook=_object)]
        except json.JSONDecodeError:
            pass
    return list(yaml.load_all(text, _Loader))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return found


def _place(source: str, mark: yaml.Mark | None) -> str:
    return source if mark is None else f"{source}, line {mark.line + 1}, column {mark.column + 1}"


def _check(value: object, source: str) -> None:
    """Bound what the value is when written out as JSON: its depth, its size, and that its numbers exist there."""
    left, level = MAX_VALUES, [value]
    for _ in range(MAX_DEPTH):
        inside: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inside += item.values()
            elif isinstance(item, list):
                inside += item
            elif isinstance(item, float) and not math.isfinite(item):
                raise Invalid(source, "holds a number that is too large")
            if len(inside) > left:
                raise Invalid(source, f"stands for more than {MAX_VALUES} values")
        if not inside:
            return
        left, level = left - len(inside), inside
    raise Invalid(source, f"is nested more than {MAX_DEPTH} deep")
