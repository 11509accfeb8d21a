"""The scenarios of `pods/*.yaml`: a pod, and what Kubernetes' documentation (`source`) says of it.

A scenario is the spec of a pod, the ConfigMaps and Secrets beside it, what it needs of a site, and what is expected:
either its status and logs when it has ended, or the refusal when it is handed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
DIRECTORY = Path(__file__).parent / "pods"
TOPICS = ("ends", "init", "lifecycle", "environment", "containers", "volumes", "storage", "resources")
RUNNABLE: Json = {
    "restartPolicy": "Never",
    "containers": [{"name": "main", "image": "busybox:1", "command": ["sleep", "600"]}],
}
"""What a refused pod would be without its fault."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Whole field, and words that its message has."""

    field: str
    words: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """`expect` has the keys `observe` knows, as many of them as are looked at."""

    name: str
    source: str
    documents: Sequence[Json]
    needs: frozenset[str] = frozenset()
    expect: Mapping[str, Any] = field(default_factory=dict)
    refused: Refusal | None = None

    @property
    def pod(self) -> Json:
        return self.documents[0]

    def missing(self, capabilities: frozenset[str]) -> str | None:
        """What the site lacks for it."""
        return next((need for need in sorted(self.needs) if need not in capabilities), None)


def played() -> list[Scenario]:
    """Those that run, in the order of a container's life."""
    return [scenario for topic in TOPICS for scenario in load(topic)]


def load(topic: str) -> list[Scenario]:
    entries: list[Json] = yaml.safe_load((DIRECTORY / f"{topic}.yaml").read_text("utf-8"))
    return [_scenario(entry) for entry in entries]


def _scenario(entry: Json) -> Scenario:
    metadata = {"name": entry["name"], **entry.get("metadata", {})}
    pod: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": entry.get("spec", RUNNABLE)}
    namespace = metadata.get("namespace", "default")
    objects = [_object(document, namespace) for document in entry.get("objects", ())]
    return Scenario(
        name=entry["name"],
        source=entry["source"],
        documents=[overlaid(pod, entry.get("change", {})), *objects],
        needs=frozenset(entry.get("needs", ())),
        expect=entry.get("expect", {}),
        refused=Refusal(**entry["refused"]) if "refused" in entry else None,
    )


def _object(document: Json, namespace: str) -> Json:
    """`{repeat, times}` stands for text too long to be written down, `many` for that many keys, each its number."""
    whole = dict(document)
    many = whole.pop("many", {"prefix": "", "times": 0})
    data = {key: _text(value) for key, value in document.get("data", {}).items()}
    data |= {f"{many['prefix']}{number}": str(number) for number in range(many["times"])}
    metadata = {"namespace": namespace, **document["metadata"]}
    return {**whole, "metadata": metadata, **({"data": data} if data else {})}


def _text(value: str | Json) -> str:
    return value if isinstance(value, str) else value["repeat"] * value["times"]


def overlaid(base: Any, change: Any) -> Any:
    """`change` laid over `base`: mappings by key, lists by position; None takes away."""
    if isinstance(base, dict) and isinstance(change, dict):
        merged = {**base, **{key: overlaid(base.get(key), value) for key, value in change.items()}}
        return {key: value for key, value in merged.items() if value is not None}
    if isinstance(base, list) and isinstance(change, list):
        return [overlaid(*pair) for pair in zip(base, change, strict=False)] + base[len(change) :] + change[len(base) :]
    return change
