"""Names of images, `[registry/]repository[:tag][@digest]`, with Docker Hub's defaults. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from farnode.config.values import REGISTRY
from farnode.gateway.images.errors import ImageError
from farnode.gateway.images.words import quote

_HUB = "docker.io"
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9._]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LENGTH = 255
"""Of a repository's name, as registries have it."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`tag` and `digest` are "" where the name has none; a name without both has the tag `latest`."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """In full: two spellings of one image have one name."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def place(self) -> str:
        """Without its version."""
        return f"{self.registry}/{self.repository}"

    def at(self, digest: str) -> Reference:
        return Reference(self.registry, self.repository, digest=digest)

    @property
    def version(self) -> str:
        """What is asked of the registry: the digest, which decides, or the tag."""
        return self.digest or self.tag


def parse(text: str) -> Reference:
    """ImageError (InvalidImageName) says which part is wrong."""
    rest, at, digest = text.partition("@")
    rest, tag = _split_tag(rest)
    registry, repository = _split_registry(rest)
    if at and not DIGEST.fullmatch(digest):
        raise _invalid(text, f"the digest {digest!r} is not sha256: and 64 hex digits")
    if tag is not None and not _TAG.fullmatch(tag):
        raise _invalid(text, f"the tag {tag!r} is not letters, digits, '.', '_' and '-'")
    if not REGISTRY.fullmatch(registry):
        raise _invalid(text, f"the registry {registry!r} is not a host name or host:port")
    if not _REPOSITORY.fullmatch(repository) or len(repository) > _LENGTH:
        raise _invalid(text, f"the repository {repository!r} is not lower-case words separated by '/', '.', '_' or '-'")
    return Reference(registry, repository, tag or ("" if at else "latest"), digest)


def _split_tag(text: str) -> tuple[str, str | None]:
    head, colon, tag = text.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (text, None)


def _split_registry(text: str) -> tuple[str, str]:
    """As docker does: the first part is a registry when it could not be a user of the Hub."""
    first, slash, rest = text.partition("/")
    if slash and (first == "localhost" or first != first.lower() or any(sign in first for sign in ".:")):
        registry, repository = first, rest
    else:
        registry, repository = _HUB, text
    if registry in (_HUB, "index.docker.io"):
        return _HUB, repository if "/" in repository else f"library/{repository}"
    return registry, repository


def _invalid(text: str, problem: str) -> ImageError:
    """As the kubelet says it, and then what is wrong."""
    known = f"Failed to apply default image tag {quote(text)}: couldn't parse image name {quote(text)}"
    accepted = "accepted: [registry/]repository[:tag][@sha256:digest]"
    return ImageError("InvalidImageName", f"{known}: invalid reference format: {problem}; {accepted}")
