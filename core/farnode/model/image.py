"""A container image: how a pod names it, and what it is once it was made ready for a site."""

from __future__ import annotations

from dataclasses import dataclass

from farnode.model.reader import Reader

PULL_POLICIES = ("Always", "IfNotPresent", "Never")


@dataclass(frozen=True, slots=True)
class Image:
    """`path` is a SIF file or directory a compute node can read; "" for the process runtime, which has no image.
    The rest is the image's own configuration, as in OCI."""

    reference: str
    digest: str = ""
    path: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    stop_signal: str = ""


def read_image(reader: Reader, name: str, policy: str) -> tuple[str, str]:
    """The reference and the pull policy, which stand in the fields `name` and `policy` of an object."""
    reference = reader.at(name).text()
    if reference != reference.strip():
        raise reader.at(name).invalid("must not begin or end with white space")
    return reference, reader.at(policy).choice(PULL_POLICIES, default_pull_policy(reference))


def default_pull_policy(image: str) -> str:
    """Kubernetes' "Default image pull policy": Always for `:latest` or no tag at all, else IfNotPresent."""
    _, _, tag = image.rpartition("/")[2].partition(":")
    return "IfNotPresent" if "@" in image or tag not in ("", "latest") else "Always"
