"""What people call a pod -> the bundle documents the gateway takes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from farnode.client.pod import Pod
from farnode.errors import Invalid
from farnode.model.documents import read_bundles

Document = dict[str, Any]
"""`{"pod": v1.Pod with a uid, "configMaps": […], "secrets": […]}`"""
PodInput = str | Path | Mapping[str, Any]
"""YAML or JSON text (has a line break or begins with a brace or bracket), the path of such a file, a manifest, or a
bundle document."""

_BATCH_BYTES = 4 << 20
_BATCH_PODS = 1000


def read(pods: PodInput | Iterable[PodInput]) -> list[Document]:
    """All of them in order, bundle documents last; pods without a uid get one. ConfigMaps and Secrets are found in
    whichever of the inputs they stand. Invalid names the source and the field."""
    given = [pods] if isinstance(pods, str | Path | Mapping) else list(pods)
    manifests = [(index, item) for index, item in enumerate(given) if not _is_bundle(item)]
    bundles = [_bundle(item) for item in given if isinstance(item, Mapping) and _is_bundle(item)]
    source = "pods[{}]" if len(given) > 1 else "pod"
    return read_bundles([_text(item, source.format(index)) for index, item in manifests], _new_uid) + bundles


def batches(found: Sequence[Document]) -> Iterator[list[Document]]:
    """In portions a gateway takes at once."""
    batch: list[Document] = []
    size = 0
    for document in found:
        length = len(json.dumps(document, separators=(",", ":")))
        if batch and (size + length > _BATCH_BYTES or len(batch) >= _BATCH_PODS):
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += length
    if batch:
        yield batch


def as_submitted(document: Document) -> Pod:
    """The pod as it is before the gateway says more of it: Pending."""
    pod = document["pod"]
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    return Pod(
        {
            "uid": metadata["uid"],
            "namespace": metadata.get("namespace", "default"),
            "name": metadata["name"],
            "labels": metadata.get("labels") or {},
            "initContainers": [container["name"] for container in spec.get("initContainers") or ()],
            "containers": [container["name"] for container in spec.get("containers") or ()],
            "status": {"phase": "Pending"},
            "pod": pod,
        }
    )


def _text(given: PodInput, source: str) -> tuple[str, str]:
    """The source's name and its text."""
    if isinstance(given, Mapping):
        try:
            return source, json.dumps(given)
        except (TypeError, ValueError) as error:
            raise Invalid(source, f"is no JSON: {error}") from None
    if isinstance(given, str) and ("\n" in given or given.lstrip()[:1] in ("{", "[")):
        return source, given
    try:
        return str(given), Path(given).read_text("utf-8")
    except OSError as error:
        raise Invalid(str(given), (error.strerror or "cannot be read").lower()) from None
    except UnicodeDecodeError:
        raise Invalid(str(given), "is not UTF-8 text") from None


def _is_bundle(given: PodInput) -> bool:
    return isinstance(given, Mapping) and isinstance(given.get("pod"), Mapping)


def _bundle(given: Mapping[str, Any]) -> Document:
    pod = dict(given["pod"])
    metadata = dict(pod.get("metadata") or {})
    metadata.setdefault("uid", _new_uid())
    return {**given, "pod": {**pod, "metadata": metadata}}


def _new_uid() -> str:
    return str(uuid.uuid4())
