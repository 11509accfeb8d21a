"""A container's environment and command line, resolved by Kubernetes' rules. Pure.

`$(NAME)` is replaced in values, command and arguments by what the pod (not the image) defined before; `$$` is a
dollar sign; a reference to nothing stays as it is. What is marked literal was never written by the pod's author as an
expression (a Secret may hold dollar signs) and is not touched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...wire.messages import ContainerOrder, EnvOrder, ImageOrder

REFERENCE = re.compile(r"\$(\$|\(([^)]*)\)|.)", re.DOTALL)


def expand(text: str, variables: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return variables.get(match[2], match[0]) if match[2] is not None else match[0]

    return REFERENCE.sub(replace, text) if "$" in text else text


def pod_variables(entries: Sequence[EnvOrder], fields: Mapping[str, str]) -> dict[str, str]:
    """What the pod defines; `fields` are the values only the node knows."""
    variables: dict[str, str] = {}
    for entry in entries:
        if "field" in entry:
            value = fields.get(entry["field"], "")
        elif entry.get("literal"):
            value = entry["value"]
        else:
            value = expand(entry.get("value", ""), variables)
        variables[entry["name"]] = value
    return variables


def image_variables(image: ImageOrder) -> dict[str, str]:
    return dict(item.split("=", 1) for item in image.get("env", ()) if "=" in item)


def command_line(order: ContainerOrder, variables: Mapping[str, str]) -> list[str]:
    """Docker's rule as Kubernetes states it: a command replaces ENTRYPOINT *and* CMD, arguments alone only CMD."""
    image = order.get("image", {})
    command = order.get("command") or []
    args = order.get("args") or []
    given = [expand(word, variables) for word in args]
    if command:
        return [expand(word, variables) for word in command] + given
    return list(image.get("entrypoint", ())) + (given or list(image.get("cmd", ())))
