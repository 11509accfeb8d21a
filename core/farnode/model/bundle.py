"""A bundle: a pod with all it refers to, self-contained and validated.

Its JSON is an object with these parts; all but the pod may be absent:

    pod                     v1.Pod
    configMaps              [v1.ConfigMap]
    secrets                 [v1.Secret]
    persistentVolumeClaims  [v1.PersistentVolumeClaim]
    clusterTrustBundles     [certificates.k8s.io ClusterTrustBundle]
    serviceAccountTokens    [{audience, token, expirationSeconds, expirationTimestamp}]; audience "": the API server's

The original is kept, so that what is stored is what was sent, and a later version can read it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from farnode.errors import Invalid
from farnode.model.claim import ClaimWanted, HostPathWanted
from farnode.model.env import ObjectKind
from farnode.model.files import check_files
from farnode.model.gpu import demand
from farnode.model.inputs import LISTS, Input, Inputs, read_inputs
from farnode.model.pod import Pod, parse_pod
from farnode.model.reader import Reader
from farnode.model.reference import check_references
from farnode.model.volume import EphemeralClaim, HostPath, claim_name


@dataclass(frozen=True, slots=True)
class Bundle:
    """`document` is the JSON it was read from."""

    pod: Pod
    inputs: Inputs
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
    reader = Reader(document)
    for key in reader.object():
        if key not in ("pod", *LISTS):
            raise Invalid(key, f"is not part of a bundle; its parts are pod, {', '.join(LISTS)}")
    if not reader.at("pod").object():
        raise reader.at("pod").invalid("is required: a v1.Pod")
    pod = parse_pod(reader.at("pod").object())
    if not pod.uid:
        raise Invalid("metadata.uid", "is required: a lower-case UUID, the key by which the pod is known")
    needs, inputs = demand(pod), read_inputs(reader, pod.namespace)
    check_references(pod, inputs)
    check_files(pod, inputs, needs)
    return Bundle(pod, inputs, document)
