"""Storage classes: which one a claim gets, and where its directory is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from farnode.errors import Invalid
from farnode.gateway.config import StorageClass
from farnode.gateway.records import ClaimKey, ClaimRecord
from farnode.model.claim import ClaimWanted

NAME_BYTES = 255
"""What a file system takes as one name."""


class Classes:
    def __init__(self, classes: Mapping[str, StorageClass]) -> None:
        self._classes = classes

    def check(self, key: ClaimKey, wanted: ClaimWanted, known: ClaimRecord | None) -> None:
        """Invalid when the claim can never be: of no class here, of another class than it has, or with a bad name."""
        if known is None:
            self.claim(key, wanted, 0.0, None)
        elif wanted.storage_class not in (None, known.storage_class):
            words = f"the claim {wanted.name!r} exists and is of class {known.storage_class!r}, which stays"
            raise Invalid(f"{wanted.field}.storageClassName", words)

    def claim(self, key: ClaimKey, wanted: ClaimWanted, at: float, pod: str | None) -> ClaimRecord:
        """A new claim; one of a pod goes with the pod, directory and all, whatever its class says."""
        name = self._choose(wanted)
        chosen = self._classes[name]
        reclaim = "delete" if pod else chosen.reclaim
        return ClaimRecord(*key, name, _directory(chosen.path, key), wanted.size, at, reclaim, pod)

    def quota(self, claim: ClaimRecord) -> tuple[str, ...]:
        """The command that sets it; none for a class without, or one that is no longer configured."""
        found = self._classes.get(claim.storage_class)
        values = {"{path}": claim.path, "{bytes}": str(claim.size)}
        return tuple(_filled(word, values) for word in found.quota) if found else ()

    def _choose(self, wanted: ClaimWanted) -> str:
        names = ", ".join(self._classes) or "(none: this site has no storage for claims)"
        field = f"{wanted.field}.storageClassName"
        if wanted.storage_class:
            if wanted.storage_class not in self._classes:
                raise Invalid(field, f"{wanted.storage_class!r} is no storage class of this site; accepted: {names}")
            return wanted.storage_class
        default = next((name for name, each in self._classes.items() if each.default), None)
        if default is None or wanted.storage_class == "":
            raise Invalid(field, f"must name a storage class, as this site has no default one; accepted: {names}")
        return default


def _directory(template: str, key: ClaimKey) -> str:
    """Each part of the key is one component, in which whatever is not plain is escaped: no two keys give one path."""
    parts = {
        "{owner}": _component("owner", key.owner),
        "{namespace}": _component("namespace", key.namespace),
        "{claim}": _component("claim", key.name),
    }
    return "/".join(parts.get(part, part) for part in template.split("/"))


def _component(what: str, text: str) -> str:
    safe = quote(text, safe="")
    safe = safe.replace(".", "%2E", 1) if safe.startswith(".") else safe
    if len(safe) > NAME_BYTES:
        raise Invalid("", f"the {what} {text!r} is too long for a directory's name: {NAME_BYTES} bytes at most")
    return safe


def _filled(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word
