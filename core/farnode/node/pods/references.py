"""What a pod of the API server refers to, read from its JSON as it is.

`farnode.model` reads pods strictly: a pod that no site can run has no references there. Here even such a pod has them,
for it is the site that refuses it, in words; and this is a fiftieth of the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

CONFIG_MAPS, SECRETS, CLAIMS = "configmaps", "secrets", "persistentvolumeclaims"
TRUST_BUNDLES = "clustertrustbundles"
TOKEN_LIFE = 3600
"""Seconds, Kubernetes' default."""


@dataclass(frozen=True, slots=True)
class Use:
    """Of an object of the pod's namespace; `keys` are those needed of it. `volume` "": not by a volume but by an
    environment variable, or, with `pull`, to pull images."""

    resource: str
    name: str
    optional: bool = False
    keys: tuple[str, ...] = ()
    volume: str = ""
    pull: bool = False


@dataclass(frozen=True, slots=True)
class TokenUse:
    """A token of the pod's service account; `audience` "": the API server's own. `expiration` in seconds."""

    audience: str
    expiration: int
    volume: str


@dataclass(frozen=True, slots=True)
class TrustUse:
    """The ClusterTrustBundle of that name, or all of a signer."""

    name: str
    signer: str
    optional: bool
    volume: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Volumes before variables, as the kubelet sees to them. `tokens`: one of each audience, the shortest asked for."""

    uses: tuple[Use, ...]
    tokens: tuple[TokenUse, ...]
    trust_bundles: tuple[TrustUse, ...]


def references(pod: Json) -> Wanted:
    spec: Json = pod["spec"]
    sources = [
        (volume["name"], source)
        for volume in spec.get("volumes") or ()
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ()))
    ]
    uses = [use for volume, source in sources for use in _of_source(volume, source)]
    for key in ("initContainers", "containers"):
        uses += [use for container in spec.get(key) or () for use in _of_container(container)]
    pulls = [one["name"] for one in spec.get("imagePullSecrets") or () if one.get("name")]
    uses += [Use(SECRETS, name, optional=True, pull=True) for name in pulls]
    return Wanted(tuple(dict.fromkeys(uses)), _tokens(sources), _trust_bundles(sources))


def _of_source(volume: str, source: Json) -> Iterator[Use]:
    """Of a volume, or of one of the sources of a projected one, which names a Secret in another field."""
    if config_map := source.get("configMap"):
        yield Use(CONFIG_MAPS, config_map["name"], _optional(config_map), _items(config_map), volume)
    if secret := source.get("secret"):
        name = secret.get("secretName") or secret["name"]
        yield Use(SECRETS, name, _optional(secret), _items(secret), volume)
    if claim := source.get("persistentVolumeClaim"):
        yield Use(CLAIMS, claim["claimName"], volume=volume)


def _of_container(container: Json) -> Iterator[Use]:
    for whole in container.get("envFrom") or ():
        for field, resource in (("configMapRef", CONFIG_MAPS), ("secretRef", SECRETS)):
            if one := whole.get(field):
                yield Use(resource, one["name"], _optional(one))
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        for field, resource in (("configMapKeyRef", CONFIG_MAPS), ("secretKeyRef", SECRETS)):
            if one := source.get(field):
                yield Use(resource, one["name"], _optional(one), (one["key"],))


def _tokens(sources: list[tuple[str, Json]]) -> tuple[TokenUse, ...]:
    found: dict[str, TokenUse] = {}
    for volume, source in sources:
        if token := source.get("serviceAccountToken"):
            audience = token.get("audience") or ""
            use = TokenUse(audience, token.get("expirationSeconds") or TOKEN_LIFE, volume)
            if audience not in found or use.expiration < found[audience].expiration:
                found[audience] = use
    return tuple(found.values())


def _trust_bundles(sources: list[tuple[str, Json]]) -> tuple[TrustUse, ...]:
    return tuple(
        TrustUse(trust.get("name") or "", trust.get("signerName") or "", _optional(trust), volume)
        for volume, source in sources
        if (trust := source.get("clusterTrustBundle"))
    )


def _optional(source: Json) -> bool:
    return source.get("optional") is True


def _items(source: Json) -> tuple[str, ...]:
    return tuple(item["key"] for item in source.get("items") or ())
