"""A configuration's validation error in one sentence for a person."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def words(root: type[BaseModel], error: ValidationError) -> tuple[str, str]:
    """The path of the first wrong key and what is wrong with it. Unknown keys first: they explain missing ones."""
    problems = [problem for problem in error.errors() if problem["type"] != "default_factory_not_called"]
    first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        return ".".join(location), _unknown(location[-1], _keys(root, location[:-1]))
    if first["type"] == "missing":
        return ".".join(location), "is missing"
    if first["type"] in ("model_type", "model_attributes_type"):
        return ".".join(location), f"is not a mapping; accepted: {', '.join(_keys(root, location))}"
    if first["type"] == "value_error":
        return ".".join(location), first["msg"].removeprefix("Value error, ")
    return ".".join(location), f"{first['msg'][:1].lower()}{first['msg'][1:]}; got {first['input']!r}"


def _unknown(key: str, accepted: list[str]) -> str:
    near = get_close_matches(key, accepted, 1)
    guess = f", did you mean {near[0]!r}?" if near else ""
    return f"unknown key{guess}; accepted: {', '.join(accepted)}"


def _keys(root: type[BaseModel], location: list[str]) -> list[str]:
    model = root
    for part in location:
        field = next((field for name, field in model.model_fields.items() if part in (name, field.alias)), None)
        if field is not None:  # else a key of a mapping, whose values the model is
            model = _model_of(field.annotation)
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_of(annotation: Any) -> type[BaseModel]:
    candidates = (annotation, *get_args(annotation))
    return next(item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel))
