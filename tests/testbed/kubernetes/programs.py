"""The programs of Kubernetes, built from the public Go modules once per machine, in some minutes.

Each family of programs is a Go module of its own, because their k8s.io versions differ.
"""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.testbed import host

log = logging.getLogger(__name__)

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Family:
    """Go programs of one module, whose `tool` directives name them. `stamps`: variables that say a version, by the
    words that the linker sets them to, with the version's parts in braces."""

    directory: Path
    of: str
    """The module whose version it is."""
    stamps: tuple[str, ...]

    @property
    def version(self) -> str:
        """As `v1.36.2`."""
        found = re.search(rf"{re.escape(self.of)} (v\S+)", (self.directory / "go.mod").read_text())
        assert found is not None, f"{self.directory}: go.mod requires no {self.of}"
        return found[1]

    def flags(self) -> str:
        major, minor, _ = self.version.removeprefix("v").split(".")
        stamps = (stamp.format(version=self.version, major=major, minor=minor) for stamp in self.stamps)
        return " ".join(["-s -w", *(f"-X {stamp}" for stamp in stamps)])

    def recipe(self) -> bytes:
        return b"".join(
            [*((self.directory / name).read_bytes() for name in ("go.mod", "go.sum")), self.flags().encode()]
        )


VERSION = "k8s.io/component-base/version"
KUBERNETES = Family(
    HERE / "components",
    "k8s.io/kubernetes",
    (f"{VERSION}.gitVersion={{version}}", f"{VERSION}.gitMajor={{major}}", f"{VERSION}.gitMinor={{minor}}"),
)
HELM = Family(
    HERE / "helm",
    "helm.sh/helm/v3",
    (
        "helm.sh/helm/v3/internal/version.version={version}",
        # A chart is rendered for a Kubernetes as new as the one it is tried on.
        *(
            f"helm.sh/helm/v3/pkg/{package}.k8sVersion{part}={number}"
            for package in ("chartutil", "lint/rules")
            for part, number in zip(("Major", "Minor"), KUBERNETES.version.removeprefix("v").split("."), strict=False)
        ),
    ),
)
RENAMED = {"server": "etcd"}
"""Go names a program after its package, and etcd's is go.etcd.io/etcd/server."""


def programs(family: Family = KUBERNETES) -> Path:
    """The directory with a family's programs; the first call on a machine builds them."""
    ready = host.CACHE / f"{family.directory.name}-{hashlib.sha256(family.recipe()).hexdigest()[:12]}"
    with host.locked(f"go-{family.directory.name}"):
        if not ready.is_dir():
            log.info("building %s %s (once, some minutes): %s", family.of, family.version, ready)
            _build(family, ready)
    return ready


def _build(family: Family, ready: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="go-building-", dir=host.CACHE) as scratch:
        target = Path(scratch) / "programs"
        build = ["nice", "go", "build", "-trimpath", f"-ldflags={family.flags()}", "-o", f"{target}/", "tool"]
        host.call(build, cwd=str(family.directory), env={"CGO_ENABLED": "0"})
        for built, name in RENAMED.items():
            if (target / built).exists():
                (target / built).rename(target / name)
        target.rename(ready)
