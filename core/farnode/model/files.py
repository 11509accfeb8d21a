"""The files of a pod's volumes: which there are and what is in them.

Source: what the kubelet writes into projected, configMap, secret and downwardAPI volumes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from farnode.model.demand import Demand
from farnode.model.downward import field_text, resource_text
from farnode.model.env import ResourceSource
from farnode.model.inputs import Input, Inputs
from farnode.model.pod import Pod
from farnode.model.projection import FieldFiles, Files, ObjectFiles, Projected, TokenFile, TrustFile, check_tree
from farnode.model.trust import TrustBundle, pem


@dataclass(frozen=True, slots=True)
class File:
    """`path` below the root of its volume; `mode` permission bits."""

    path: str
    mode: int
    data: bytes = field(repr=False)


def files_of(source: Files | Projected, pod: Pod, inputs: Inputs, needs: Demand) -> tuple[File, ...]:
    """Where two sources have a file of the same path, the later one counts."""
    sources = source.sources if isinstance(source, Projected) else (source,)
    found = [file for one in sources for file in _files(one, pod, inputs, needs)]
    return tuple({file.path: file for file in found}.values())


def check_files(pod: Pod, inputs: Inputs, needs: Demand) -> None:
    """Invalid where a volume would hold a file that must be a directory for another, which only the inputs tell."""
    for index, volume in enumerate(pod.volumes):
        if isinstance(volume.source, Projected | ObjectFiles):
            paths = [file.path for file in files_of(volume.source, pod, inputs, needs)]
            check_tree(paths, f"spec.volumes[{index}]")


def trusted(source: TrustFile, inputs: Inputs) -> list[TrustBundle]:
    """The trust bundles that a source takes."""
    if source.name:
        return [inputs.trust_bundles[source.name]] if source.name in inputs.trust_bundles else []
    if source.selector is None:
        return []
    bundles = inputs.trust_bundles.values()
    return [one for one in bundles if one.signer == source.signer and source.selector.takes(one.labels)]


def _files(source: Files, pod: Pod, inputs: Inputs, needs: Demand) -> Iterator[File]:
    if isinstance(source, ObjectFiles):
        yield from _object_files(source, inputs)
    elif isinstance(source, FieldFiles):
        yield from _field_files(source, pod, needs)
    elif isinstance(source, TokenFile):
        yield File(source.path, source.mode, inputs.tokens[source.audience].encode())
    else:
        yield File(source.path, source.mode, pem(trusted(source, inputs)))


def _object_files(source: ObjectFiles, inputs: Inputs) -> Iterator[File]:
    found = (inputs.find(source.kind, source.name) or Input({})).files
    if not source.items:
        for key in sorted(found):
            yield File(key, source.mode, found[key])
    for item in source.items:
        if item.key in found:
            yield File(item.path, source.mode if item.mode is None else item.mode, found[item.key])


def _field_files(source: FieldFiles, pod: Pod, needs: Demand) -> Iterator[File]:
    for item in source.items:
        told = item.source
        text = resource_text(pod, needs, told) if isinstance(told, ResourceSource) else field_text(pod, told)
        yield File(item.path, source.mode if item.mode is None else item.mode, text.encode())
