"""An access.Reviewer that asks the API server: TokenReview says whose a token is, SubjectAccessReview what for.

Answers are kept for as long as kubelets keep them at most (a yes 2 minutes, a no 30 seconds), so that scrapes and
execs cost the API server next to nothing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any

from farnode.errors import Denied, Permanent
from farnode.node.kube.api import KubeApi

Json = dict[str, Any]

_ALLOWED, _REFUSED = 120.0, 30.0
"""Seconds."""
_KEPT = 1000
_AUTHENTICATED = "system:authenticated"
"""The group of all who showed something, which a TokenReview names itself."""
_TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
_ACCESSES = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class Reviews:
    """`node` is the name that is asked about, whichever of the process' nodes is meant."""

    def __init__(self, api: KubeApi, node: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._node = node
        self._clock = clock
        self._known: dict[Hashable, tuple[float, bool | None]] = {}
        """Until when, and the answer: None for nobody's token."""

    async def user(self, name: str, groups: Sequence[str], verb: str, subresource: str) -> bool:
        key = ("user", name, tuple(groups), verb, subresource)
        user = {"username": name, "groups": [*groups, _AUTHENTICATED]}
        return bool(await self._answer(key, lambda: self._may(user, verb, subresource)))

    async def token(self, token: str, verb: str, subresource: str) -> bool:
        key = ("token", hashlib.sha256(token.encode()).digest(), verb, subresource)
        answer = await self._answer(key, lambda: self._bearer_may(token, verb, subresource))
        if answer is None:
            raise Denied("the API server does not know this token")
        return answer

    async def _answer(self, key: Hashable, ask: Callable[[], Awaitable[bool | None]]) -> bool | None:
        until, answer = self._known.get(key, (0.0, None))
        if key in self._known and self._clock() < until:
            return answer
        try:
            answer = await ask()
        except Denied as error:
            raise Permanent(f"this node may not ask the API server: {error}") from error
        self._keep(key, answer)
        return answer

    async def _bearer_may(self, token: str, verb: str, subresource: str) -> bool | None:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        found = (await self._api.create(_TOKENS, review)).get("status") or {}
        return await self._may(found["user"], verb, subresource) if found.get("authenticated") else None

    async def _may(self, user: Json, verb: str, subresource: str) -> bool:
        attributes = {
            "verb": verb,
            "version": "v1",
            "resource": "nodes",
            "subresource": subresource,
            "name": self._node,
        }
        who = {key: user[key] for key in ("uid", "groups", "extra") if user.get(key)}
        spec = {"user": user["username"], **who, "resourceAttributes": attributes}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        return bool(((await self._api.create(_ACCESSES, review)).get("status") or {}).get("allowed"))

    def _keep(self, key: Hashable, answer: bool | None) -> None:
        """The oldest answers give way."""
        self._known.pop(key, None)
        while len(self._known) >= _KEPT:
            self._known.pop(next(iter(self._known)))
        self._known[key] = (self._clock() + (_ALLOWED if answer else _REFUSED), answer)
