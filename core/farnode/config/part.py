"""What all configuration files have in common: typed, frozen, read once.

Durations are seconds and sizes bytes once loaded. Keys are camelCase in the file. A key nobody knows is an error, never
ignored: a limit that was misspelt would not be a limit.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from farnode.config.errors import words
from farnode.errors import Invalid


class Part(BaseModel):
    """A mapping of a configuration file."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
    )


Root = TypeVar("Root", bound=Part)


def load(root: type[Root], path: Path, least: str) -> Root:
    """Read the file; Invalid names it, the key, what is wrong and what is accepted. `least` is what it needs, for a
    person."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise Invalid(str(path), f"cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise Invalid(str(path), f"is not a mapping; accepted: at least {least}")
    try:
        return root.model_validate(content, context={"base": path.absolute().parent})
    except ValidationError as error:
        key, problem = words(root, error)
        raise Invalid(f"{path}: {key}" if key else str(path), problem) from error
