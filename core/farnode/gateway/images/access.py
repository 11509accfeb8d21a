"""Who may have an image that is here already: who could fetch it.

An image that was had with a pod's own login is given to another pod only when the registry gives it to that pod, too.
Source: Kubernetes, "Images > Ensure image pull credential verification"; like the kubelet, a login that was good for
an image once stays good for the copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from farnode.gateway.images import credentials
from farnode.gateway.images.credentials import Login
from farnode.gateway.images.reference import Reference

_MOST = 4096
"""Logins that are remembered to have been good for an image; what is forgotten is asked for again."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One way to ask for an image. `open`: without a login of the pod's own, so that what it gives is for all."""

    login: Login | None
    open: bool


def passes(own: Sequence[Login], sites: Sequence[Login], reference: Reference) -> Iterator[Pass]:
    """In the order they are tried: the pod's logins, the site's, and where there is neither, none at all."""
    mine, theirs = credentials.fitting(own, reference), credentials.fitting(sites, reference)
    yield from (Pass(login, open=False) for login in mine)
    yield from (Pass(login, open=True) for login in theirs)
    if not mine and not theirs:
        yield Pass(None, open=True)


class Granted:
    """Which logins were good for which image. In memory alone, as no trace of a login belongs on a disk."""

    def __init__(self) -> None:
        self._known: dict[bytes, None] = {}

    def add(self, reference: Reference, digest: str, login: Login) -> None:
        self._known[_key(reference, digest, login)] = None
        while len(self._known) > _MOST:
            del self._known[next(iter(self._known))]

    def __call__(self, reference: Reference, digest: str, logins: Sequence[Login]) -> bool:
        return any(_key(reference, digest, login) in self._known for login in credentials.fitting(logins, reference))


def _key(reference: Reference, digest: str, login: Login) -> bytes:
    text = f"{reference.place}\0{digest}\0{login.user}\0{login.password}"
    return hashlib.sha256(text.encode()).digest()
