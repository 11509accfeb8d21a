"""What a pod refers to, and from where: ConfigMaps, Secrets, claims, tokens and trust bundles.

The API server does not check these; the kubelet waits until they exist. At a site nothing can appear later, so a
bundle must have them all, except the optional ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from farnode.errors import Invalid
from farnode.model.container import Container
from farnode.model.env import KeySource, ObjectKind
from farnode.model.files import trusted
from farnode.model.inputs import Input, Inputs
from farnode.model.pod import Pod, containers_with_paths, files_with_paths
from farnode.model.projection import ObjectFiles, TokenFile, TrustFile
from farnode.model.trust import pem
from farnode.model.volume import Claim

INPUTS_LIMIT = 16 * 1024 * 1024
"""Bytes of all that is put into a pod's files and variables: in base64 it must fit into one frame to a runner."""


@dataclass(frozen=True, slots=True)
class Reference:
    """To a ConfigMap or Secret. `keys` are those needed; none: all there are. `env`: the values become environment
    variables."""

    path: str
    kind: ObjectKind
    name: str
    optional: bool
    keys: tuple[str, ...] = ()
    env: bool = False


def references(pod: Pod) -> Iterator[Reference]:
    for path, container in containers_with_paths(pod):
        yield from _of_container(path, container)
    for path, source in files_with_paths(pod):
        if isinstance(source, ObjectFiles):
            keys = tuple(item.key for item in source.items)
            yield Reference(path, source.kind, source.name, source.optional, keys)
    for index, name in enumerate(pod.image_pull_secrets):
        yield Reference(f"spec.imagePullSecrets[{index}]", "Secret", name, optional=True)


def claim_names(pod: Pod) -> Iterator[tuple[str, str]]:
    """The claims that are not made for the pod itself: where each is named, and its name."""
    for index, volume in enumerate(pod.volumes):
        if isinstance(volume.source, Claim):
            yield f"spec.volumes[{index}].persistentVolumeClaim.claimName", volume.source.name


def trust_files(pod: Pod) -> Iterator[tuple[str, TrustFile]]:
    for path, source in files_with_paths(pod):
        if isinstance(source, TrustFile):
            yield path, source


def check_references(pod: Pod, inputs: Inputs) -> None:
    """Invalid where something the pod needs does not come with it, or is too much."""
    total = sum(_check_reference(reference, pod, inputs) for reference in references(pod))
    total += sum(_check_trust(path, trust, inputs) for path, trust in trust_files(pod))
    if total > INPUTS_LIMIT:
        words = f"{total} bytes of ConfigMaps and Secrets are put into this pod; at most {INPUTS_LIMIT} may be"
        raise Invalid("spec", words)
    for path, name in claim_names(pod):
        if name not in inputs.claims:
            raise Invalid(path, f"{_needs('PersistentVolumeClaim', name, pod)}; add it")
    for path, source in files_with_paths(pod):
        if isinstance(source, TokenFile) and source.audience not in inputs.tokens:
            raise Invalid(path, _no_token(source))


def _check_trust(path: str, trust: TrustFile, inputs: Inputs) -> int:
    """The bytes this file puts into the pod."""
    found = trusted(trust, inputs)
    if not found and not trust.optional:
        wanted = repr(trust.name) if trust.name else f"of the signer {trust.signer!r} that labelSelector takes"
        raise Invalid(path, f"needs a ClusterTrustBundle {wanted}; add it, or set optional: true")
    return len(pem(found))


def _no_token(source: TokenFile) -> str:
    audience = f"for the audience {source.audience!r}" if source.audience else "for the API server"
    return f"needs a token {audience}, which only a cluster's API server gives; without one, mount a secret instead"


def _needs(kind: str, name: str, pod: Pod) -> str:
    return f"needs the {kind} {name!r} of namespace {pod.namespace!r}, which does not come with the pod"


def _check_reference(reference: Reference, pod: Pod, inputs: Inputs) -> int:
    """The bytes this reference puts into the pod."""
    found = inputs.find(reference.kind, reference.name)
    if found is not None:
        return _check_keys(reference, found)
    if not reference.optional:
        words = f"{_needs(reference.kind, reference.name, pod)}; add it, or set optional: true"
        raise Invalid(reference.path, words)
    return 0


def _check_keys(reference: Reference, found: Input) -> int:
    values = found.data if reference.env else found.files
    for key in reference.keys:
        if key not in values and not reference.optional:
            known = ", ".join(sorted(values)) or "none"
            raise Invalid(
                reference.path, f"the {reference.kind} {reference.name!r} has no key {key!r}; its keys: {known}"
            )
    keys = [key for key in reference.keys or values if key in values]  # a key may become several files
    if reference.env:
        _check_text(reference, {key: values[key] for key in keys})
    return sum(len(values[key]) for key in keys)


def _check_text(reference: Reference, values: Mapping[str, bytes]) -> None:
    for key, value in values.items():
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = "\x00"
        if "\x00" in text:
            words = f"the key {key!r} of the {reference.kind} {reference.name!r} is binary, not text (UTF-8)"
            raise Invalid(reference.path, f"{words}: mount it as a file instead")


def _of_container(path: str, container: Container) -> Iterator[Reference]:
    for index, whole in enumerate(container.env_from):
        yield Reference(f"{path}.envFrom[{index}]", whole.kind, whole.name, whole.optional, env=True)
    for index, variable in enumerate(container.env):
        source = variable.source
        if isinstance(source, KeySource):
            place = f"{path}.env[{index}].valueFrom"
            yield Reference(place, source.kind, source.name, source.optional, (source.key,), env=True)
