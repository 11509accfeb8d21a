"""What pods are run with: a site, a runtime, and whose batch job it is. Every scenario is played on every stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.sites import GatewaySite

Gaps = Mapping[str, str]

_APART: Gaps = {"sharing": "apptainer has no way to; such pods are refused"}
_NO_IMAGE: Gaps = {
    "image": "programs of the node, no images",
    "isolation": "all processes of the account are visible",
}


@dataclass(frozen=True, slots=True)
class Stack:
    """`gaps` are the needs of scenarios that it does not meet, and why. `dedicated`: each pod has its own batch job."""

    name: str
    site: str
    runtime: str
    gaps: Gaps
    dedicated: bool = False

    def capabilities(self, site: GatewaySite) -> frozenset[str]:
        return site.capabilities - self.gaps.keys()


STACKS = (
    Stack("embedded", "embedded", "process", _NO_IMAGE),
    Stack("apptainer", "box", "apptainer", _APART),
    Stack("dedicated", "box", "apptainer", _APART, dedicated=True),
    Stack("podman", "box", "podman", {}),
    Stack("charliecloud", "box", "charliecloud", {}),
)
