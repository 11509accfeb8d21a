"""Tokens of service accounts, each bound to one pod: kept in memory alone.

Source: Kubernetes, "Projected Volumes", "serviceAccountToken". As the kubelet does, a token is replaced when it is
older than four fifths of its life or a day; somewhat earlier, each at another time, so that the tokens of pods that
came together are not all asked for together.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from farnode.node.kube.api import KubeApi
from farnode.node.pods.references import TokenUse

Json = dict[str, Any]

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class _Token:
    """`until`: when another one is to take its place, in seconds since the epoch."""

    token: str = field(repr=False)
    expiration: int
    expires: str
    until: float


class Tokens:
    def __init__(self, api: KubeApi, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._held: dict[str, dict[str, _Token]] = {}

    async def get(self, pod: Json, use: TokenUse) -> Json:
        """As it stands in a bundle. NotFound, Denied or Permanent when the API server gives none."""
        uid = pod["metadata"]["uid"]
        held = self._held.get(uid, {}).get(use.audience)
        if held is None or held.until <= self._clock():
            held = await self._ask(pod, use)
            self._held.setdefault(uid, {})[use.audience] = held
        return {
            "audience": use.audience,
            "token": held.token,
            "expirationSeconds": held.expiration,
            "expirationTimestamp": held.expires,
        }

    def until(self, uid: str) -> float | None:
        """When one of the pod's is to be replaced; None where it has none."""
        return min((token.until for token in self._held.get(uid, {}).values()), default=None)

    def release(self, uid: str) -> None:
        self._held.pop(uid, None)

    async def _ask(self, pod: Json, use: TokenUse) -> _Token:
        path, body = _path(pod), _request(pod, use)
        answer = await self._api.keep_trying(lambda: self._api.create(path, body))
        life = int(answer["spec"]["expirationSeconds"])
        until = self._clock() + min(life, DAY) * random.uniform(0.7, 0.8)  # noqa: S311 - not a secret
        return _Token(answer["status"]["token"], life, answer["status"]["expirationTimestamp"], until)


def _path(pod: Json) -> str:
    account = pod["spec"].get("serviceAccountName") or "default"
    namespace = pod["metadata"]["namespace"]
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/serviceaccounts/{quote(account, safe='')}/token"


def _request(pod: Json, use: TokenUse) -> Json:
    metadata = pod["metadata"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    spec = {
        "audiences": [use.audience] if use.audience else [],
        "expirationSeconds": use.expiration,
        "boundObjectRef": bound,
    }
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
