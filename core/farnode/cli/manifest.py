"""`farnode run --image …` -> the pod `kubectl run` would make. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farnode.client.intake import Document
from farnode.errors import Invalid
from farnode.model.annotations import PREFIX


@dataclass(frozen=True, slots=True)
class Simple:
    """One container. `words` are its arguments, or with `command` what replaces the image's entry point."""

    name: str
    image: str
    words: Sequence[str] = ()
    command: bool = False
    env: Sequence[str] = ()
    resources: Mapping[str, str] | None = None
    stdin: bool = False
    tty: bool = False

    def manifest(self) -> dict[str, Any]:
        """The v1.Pod."""
        container: dict[str, Any] = {"name": self.name, "image": self.image}
        if self.words:
            container["command" if self.command else "args"] = list(self.words)
        if self.stdin:
            container |= {"stdin": True, "stdinOnce": True}
        if self.tty:
            container["tty"] = True
        if self.env:
            container["env"] = [_variable(text) for text in self.env]
        if self.resources:
            container["resources"] = {"limits": dict(self.resources)}
        metadata = {"name": self.name, "labels": {"run": self.name}}
        spec = {"restartPolicy": "Never", "containers": [container]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def annotated(document: Document, settings: Mapping[str, str]) -> Document:
    """The same with farnode.io/ annotations; those given win over the file's."""
    if not settings:
        return document
    pod = document["pod"]
    metadata = pod["metadata"]
    ours = {f"{PREFIX}{key}": value for key, value in settings.items()}
    annotations = {**(metadata.get("annotations") or {}), **ours}
    return {**document, "pod": {**pod, "metadata": {**metadata, "annotations": annotations}}}


def _variable(text: str) -> dict[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Invalid("--env", f"{text!r} is not NAME=VALUE")
    return {"name": name, "value": value}
