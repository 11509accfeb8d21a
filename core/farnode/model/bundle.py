"""A bundle: a pod with all it refers to, self-contained and validated.

Its JSON is an object with these parts; all but the pod may be absent:

    pod                     v1.Pod
    configMaps              [v1.ConfigMap]
    secrets                 [v1.Secret]
    persistentVolumeClaims  [v1.PersistentVolumeClaim]
    clusterTrustBundles     [certificates.k8s.io ClusterTrustBundle]
    serviceAccountTokens    [{audience, token, expirationSeconds, expirationTimestamp}]; audience "": the API server's

The original is kept, so that what is stored is what was sent, and a later version can read it again.

Pods come in thousands that differ in little but their names. What they have in common is read once, for the reading
takes ten times as long as all else that is done with a bundle, and kept once, for thousands wait at a time.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from farnode.errors import Invalid
from farnode.model.annotations import PREFIX
from farnode.model.claim import ClaimWanted, HostPathWanted
from farnode.model.demand import Demand
from farnode.model.env import ObjectKind
from farnode.model.files import check_files
from farnode.model.gpu import demand
from farnode.model.inputs import LISTS, Input, Inputs, read_inputs, read_tokens
from farnode.model.pod import Pod, parse_pod, renamed
from farnode.model.reader import Reader
from farnode.model.reference import check_references
from farnode.model.volume import EphemeralClaim, HostPath, claim_name

KINDS, SHAPE_BYTES = 256, 64 * 1024
"""Of alike pods, how many are remembered, and how large one may be."""
_SAMPLE = {"name": "sample", "uid": "00000000-0000-0000-0000-000000000000"}
_TOKEN = {"token": "sample"}


@dataclass(frozen=True, slots=True)
class Bundle:
    """`document` is the JSON it was read from."""

    pod: Pod
    inputs: Inputs
    demand: Demand
    document: Mapping[str, object] = field(repr=False, compare=False)

    @property
    def config_maps(self) -> Mapping[str, Input]:
        return self.inputs.config_maps

    @property
    def secrets(self) -> Mapping[str, Input]:
        return self.inputs.secrets

    def input(self, kind: ObjectKind, name: str) -> Input | None:
        return self.inputs.find(kind, name)

    @property
    def claims(self) -> tuple[ClaimWanted, ...]:
        """The claims the pod uses, each once."""
        found: dict[str, ClaimWanted] = {}
        for volume in self.pod.volumes:
            if (name := claim_name(volume, self.pod.name)) is not None:
                made = volume.source.spec if isinstance(volume.source, EphemeralClaim) else None
                spec = made or self.inputs.claims[name]
                found[name] = ClaimWanted(
                    name, spec.storage_class, spec.size, spec.access_modes, made is not None, spec.field
                )
        return tuple(found.values())

    @property
    def host_paths(self) -> tuple[HostPathWanted, ...]:
        return tuple(
            HostPathWanted(f"spec.volumes[{index}].hostPath.path", volume.name, volume.source.path, volume.source.type)
            for index, volume in enumerate(self.pod.volumes)
            if isinstance(volume.source, HostPath)
        )


def parse_bundle(document: Mapping[str, object]) -> Bundle:
    """Invalid names the field; fields of the pod begin at `metadata` or `spec`, without `pod.` before them."""
    if (shape := _shape(document)) is not None:
        with suppress(Invalid):
            return _alike(_sample(shape), document)
    return _read(document)  # and its words are about this pod


def _read(document: Mapping[str, object]) -> Bundle:
    reader = Reader(document)
    for key in reader.object():
        if key not in ("pod", *LISTS):
            raise Invalid(key, f"is not part of a bundle; its parts are pod, {', '.join(LISTS)}")
    if not reader.at("pod").object():
        raise reader.at("pod").invalid("is required: a v1.Pod")
    tokens = read_tokens(reader.at("serviceAccountTokens"))
    pod = parse_pod(reader.at("pod").object(), automatic_token="" in tokens)
    _check_uid(pod)
    needs, inputs = demand(pod), read_inputs(reader, pod.namespace)
    check_references(pod, inputs)
    check_files(pod, inputs, needs)
    return Bundle(pod, inputs, needs, document)


def _check_uid(pod: Pod) -> None:
    if not pod.uid:
        raise Invalid("metadata.uid", "is required: a lower-case UUID, the key by which the pod is known")


# ---- alike pods ----------------------------------------------------------------------------------------------------


def _shape(document: Any) -> bytes | None:
    """The document without what tells its pod from others like it, which are also its tokens. None where that cannot be
    told: it is no bundle, or its claims are named after the pod."""
    try:
        pod = document["pod"]
        metadata, spec = pod["metadata"], pod["spec"]
        if any("ephemeral" in volume for volume in spec.get("volumes") or ()):
            return None
        settings = {key: text for key, text in (metadata.get("annotations") or {}).items() if key.startswith(PREFIX)}
        common = {"namespace": metadata.get("namespace"), "annotations": settings}
        status = bool(pod.get("status"))
        alike = {**document, "pod": {**pod, "metadata": common, "status": status}}
        if tokens := document.get("serviceAccountTokens"):
            alike["serviceAccountTokens"] = [{**_TOKEN, "audience": one.get("audience")} for one in tokens]
        shape = marshal.dumps(alike, 2)
    except (KeyError, TypeError, AttributeError, ValueError):
        return None
    return shape if len(shape) <= SHAPE_BYTES else None


@lru_cache(KINDS)
def _sample(shape: bytes) -> Bundle:
    document = marshal.loads(shape)  # noqa: S302 - written above
    document["pod"]["metadata"].update(_SAMPLE)
    return _read(document)


def _alike(sample: Bundle, document: Mapping[str, Any]) -> Bundle:
    spec, metadata = document["pod"]["spec"], Reader(document["pod"]["metadata"], "metadata")
    pod = renamed(sample.pod, metadata, own_hostname=bool(spec.get("hostname")))
    _check_uid(pod)
    inputs = sample.inputs
    if inputs.tokens:
        inputs = replace(inputs, tokens=read_tokens(Reader(document["serviceAccountTokens"], "serviceAccountTokens")))
    return Bundle(pod, inputs, sample.demand, document)
